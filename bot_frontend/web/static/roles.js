// The operators' roles, as they are called.

import { gettext, noop } from "/static/texts.js";

const ROLES = { viewer: noop("viewer"), support: noop("support"), treasurer: noop("treasurer"), owner: noop("owner") };

// role -- null of somebody who has none any more.
export function whoWithRole(name, role) {
  return gettext("{name}, {role}", { name, role: role === null ? gettext("no role") : gettext(ROLES[role]) });
}
