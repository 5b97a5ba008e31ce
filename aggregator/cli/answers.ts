/** The API's answers, as the schemas it documents them with. */
import type { Static } from 'typebox';
import type { MapRowSchema } from '../http/routes/map.ts';
import type { Incident } from '../http/schemas/anomalies.ts';
import type { Capacity } from '../http/schemas/capacity.ts';
import type { Credential } from '../http/schemas/credentials.ts';
import type { Event, Plan, Policies, PolicyChange, PolicyVersion, Verification } from '../http/schemas/decisions.ts';
import type { Explanation, Host, Sla, Vm } from '../http/schemas/fleet.ts';
import type { LoanView, ShortageView } from '../http/schemas/loans.ts';

export type VmAnswer = Static<typeof Vm>;
export type HostAnswer = Static<typeof Host>;
export type CredentialAnswer = Static<typeof Credential>;
export type PlanAnswer = Static<typeof Plan>;
export type EventAnswer = Static<typeof Event>;
export type PoliciesAnswer = Static<typeof Policies>;
export type PolicyChangeAnswer = Static<typeof PolicyChange>;
export type PolicyVersionAnswer = Static<typeof PolicyVersion>;
export type VerificationAnswer = Static<typeof Verification>;
export type IncidentAnswer = Static<typeof Incident>;
export type CapacityAnswer = Static<typeof Capacity>;
export type SlaAnswer = Static<typeof Sla>;
export type MapAnswer = Static<typeof MapRowSchema>;
export type LoanAnswer = Static<typeof LoanView>;
export type ShortageAnswer = Static<typeof ShortageView>;
export type ExplanationAnswer = Static<typeof Explanation>;
