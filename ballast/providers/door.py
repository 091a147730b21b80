"""What a provider sends to /pay/<name>, as the job that books it.

Its id is made of the event's and of what it says: the same again is the same job, and the same event with other words
is another job, which finds that they differ and books nothing.
"""

from __future__ import annotations

from ballast.builtin.providers import RecordProviderDispute, RecordProviderPayment
from ballast.providers.provider import (
    ORDER_LENGTH_MAX,
    PAYMENT_ID_LENGTH_MAX,
    Dispute,
    Event,
    Forged,
    Provider,
    Unreadable,
)
from ballast.webhooks import Received, Receiving, WebhookRequest
from dbcore.fingerprints import fingerprint
from dbcore.guard.refusal import Refuse

PREFIX = "/pay"


def receiving(provider: Provider) -> Receiving:
    """For the frontend: connects to nothing."""

    def receive(request: WebhookRequest) -> Received | None:
        try:
            event = provider.read_event(request.body, request.headers)
            job = None if event is None else job_of(provider.name, event)
        except Unreadable:
            raise  # the provider sends it again, and its pages show that it was not taken
        except Forged as error:
            raise Refuse(f"not genuine: {error}") from None
        if job is None:
            return None
        return Received(job, key=f"{fingerprint(job.event_id)}:{job.mark}")

    return receive


def job_of(name: str, event: Event) -> RecordProviderPayment | RecordProviderDispute:
    """Raises Unreadable for what no job can hold."""
    subject = event.payment
    try:
        told = {
            "provider": name,
            "event_id": event.id if len(event.id) <= PAYMENT_ID_LENGTH_MAX else fingerprint(event.id),
            "mark": fingerprint("provider event", event.said),
        }
        if isinstance(subject, Dispute):
            return RecordProviderDispute(
                **told,
                dispute_id=subject.id,
                payment_id=subject.payment_id,
                disputed=subject.amount,
                paid_currency=subject.currency,
                state=subject.state,
            )
        return RecordProviderPayment(
            **told,
            payment_id=subject.id,
            paid=subject.amount,
            paid_currency=subject.currency,
            refunded=subject.refunded,
            fee=subject.fee,
            order=subject.order if len(subject.order) <= ORDER_LENGTH_MAX else "",
            paid_at=subject.paid_at,
        )
    except ValueError as error:
        raise Unreadable(f"no job can hold it: {type(error).__name__}") from error
