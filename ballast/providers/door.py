"""What a provider sends to /pay/<name>, as the job that books it.

Its id is made of the event's and of what it says: the same again is the same job, and the same event with other words
is another job, which finds that they differ and books nothing.
"""

from __future__ import annotations

from ballast.builtin.providers import RecordProviderPayment
from ballast.providers.provider import ORDER_LENGTH_MAX, PAYMENT_ID_LENGTH_MAX, Event, Forged, Provider
from ballast.webhooks import Received, Receiving, WebhookRequest
from dbcore.fingerprints import fingerprint
from dbcore.guard.refusal import Refuse

PREFIX = "/pay"


def receiving(provider: Provider) -> Receiving:
    """For the frontend: connects to nothing."""

    def receive(request: WebhookRequest) -> Received | None:
        try:
            event = provider.read_event(request.body, request.headers)
        except Forged as error:
            raise Refuse(f"not genuine: {error}") from None
        if event is None:
            return None
        job = job_of(provider.name, event)
        return Received(job, key=f"{fingerprint(job.event_id)}:{job.mark}")

    return receive


def job_of(name: str, event: Event) -> RecordProviderPayment:
    """Raises ValueError for what no job can hold."""
    payment = event.payment
    return RecordProviderPayment(
        provider=name,
        event_id=event.id if len(event.id) <= PAYMENT_ID_LENGTH_MAX else fingerprint(event.id),
        mark=fingerprint("provider event", event.said),
        payment_id=payment.id,
        paid=payment.amount,
        paid_currency=payment.currency,
        refunded=payment.refunded,
        fee=payment.fee,
        order=payment.order if len(payment.order) <= ORDER_LENGTH_MAX else "",
        paid_at=payment.paid_at,
    )
