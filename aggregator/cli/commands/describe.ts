/** `headroom describe VM`: all that is known of one VM in one answer: figures, why, what goes wrong, what it lends, what happened. */
import type { Answer } from '../../client/words.ts';
import type { EventAnswer, IncidentAnswer, LoanAnswer, SuspensionAnswer, VmAnswer } from '../answers.ts';
import type { ApiCommand } from '../command.ts';
import { EXIT } from '../exit-codes.ts';
import { printable } from '../output.ts';
import { utc } from '../words.ts';
import { show } from './show.ts';
import { vmText } from './vm-show.ts';

interface Described {
  vm: VmAnswer;
  explanation: Answer<'/v1/vms/{id}/explain'>['text'];
  anomalies: IncidentAnswer[];
  loans: LoanAnswer[];
  suspension: SuspensionAnswer | null;
  events: EventAnswer[];
}

/** Of the events that are kept, the newest of one VM. */
const EVENTS_LOOKED_AT = 1000;
const EVENTS_SHOWN = 10;

function section(title: string, lines: readonly string[]): string {
  return lines.length === 0 ? '' : `\n${title}\n${lines.map((line) => `  ${printable(line)}\n`).join('')}`;
}

function text({ vm, explanation, anomalies, loans, suspension, events }: Described): string {
  const lent = loans.map(
    ({ lenderName, borrowerName, resource, amount, state, untilMs }) =>
      `${lenderName} lends ${borrowerName} ${resource === 'cpu' ? `${amount.toFixed(2)} cores` : `${amount.toFixed(0)} MiB`}: ${state}, until ${utc(untilMs)}`,
  );
  const wrong = anomalies.map(
    ({ kind, severity, startMs, endMs, cause, explainedBy }) =>
      `${utc(startMs)}  ${kind} (${severity}), ${endMs === null ? 'goes on' : `until ${utc(endMs)}`}: ${explainedBy ?? cause}`,
  );
  const aside =
    suspension === null
      ? []
      : [`${suspension.phase} since ${utc(suspension.sinceMs)}; ${suspension.prediction?.text ?? 'when it is wanted next is not known'}`];
  return [
    vmText(vm),
    section('why', explanation),
    section('suspended', aside),
    section('anomalies', wrong),
    section('loans', lent),
    section(
      'lately',
      events.map(({ timeMs, message }) => `${utc(timeMs)}  ${message}`),
    ),
  ].join('');
}

export const describe: ApiCommand = {
  kind: 'api',
  name: 'describe',
  summary: 'all that is known of one VM: figures, why, anomalies, loans, what happened lately',
  args: ['VM'],
  async run(context) {
    const { api, positionals } = context;
    const vm = await api.get('/v1/vms/{id}', { path: { id: positionals[0]! } });
    const [{ text: explanation }, anomalies, loans, suspensions, events] = await Promise.all([
      api.get('/v1/vms/{id}/explain', { path: { id: vm.id } }),
      api.get('/v1/anomalies', { query: { limit: 1000 } }),
      api.get('/v1/loans'),
      api.get('/v1/suspensions'),
      api.get('/v1/events', { query: { format: 'json', limit: EVENTS_LOOKED_AT } }),
    ]);
    const described: Described = {
      vm,
      explanation,
      anomalies: anomalies.items.filter((each) => each.vm === vm.id),
      loans: loans.items.filter(({ lender, borrower }) => lender === vm.id || borrower === vm.id),
      suspension: suspensions.items.find((each) => each.vm === vm.id) ?? null,
      events: events.items.filter((each) => each.vm === vm.id).slice(-EVENTS_SHOWN),
    };
    show(context, described, () => text(described));
    return EXIT.ok;
  },
};
