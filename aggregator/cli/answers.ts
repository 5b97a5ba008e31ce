/** The API's answers, as its OpenAPI document has them. */
import type { Answer, ItemOf } from '../client/words.ts';

export type {
  FleetEvent as EventAnswer,
  Group as GroupAnswer,
  Host as HostAnswer,
  Incident as IncidentAnswer,
  Plan as PlanAnswer,
  Template as TemplateAnswer,
  Vm as VmAnswer,
} from '../client/words.ts';
export type CredentialAnswer = Answer<'/v1/vms/{id}/credentials', 'post'>;
export type PolicyChangeAnswer = Answer<'/v1/policies', 'put'>;
export type PolicyVersionAnswer = Answer<'/v1/policies/versions/{version}'>;
export type VerificationAnswer = Answer<'/v1/audit/verify'>;
export type DemandAnswer = Answer<'/v1/demand'>;
export type CapacityAnswer = ItemOf<'/v1/capacity'>;
export type SlaAnswer = ItemOf<'/v1/slas'>;
export type MapAnswer = ItemOf<'/v1/map'>;
export type LoanAnswer = ItemOf<'/v1/loans'>;
export type ShortageAnswer = ItemOf<'/v1/shortages'>;
export type TemplateCheckAnswer = Answer<'/v1/templates/{name}/check', 'post'>['items'][number];
export type AgentKeyAnswer = ItemOf<'/v1/agent-keys'>;
export type ApiTokenAnswer = ItemOf<'/v1/api-tokens'>;
export type SuspensionAnswer = ItemOf<'/v1/suspensions'>;
export type SnapshotStoreAnswer = ItemOf<'/v1/suspensions/stores'>;
export type SuspendOrderAnswer = ItemOf<'/v1/suspensions/orders'>;
