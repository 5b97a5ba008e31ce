/** /v1/kill-switch: where it is engaged; stop every change to the fleet, a host or a VM (PUT), and go on (DELETE). */
import Type, { type Static } from 'typebox';
import { HeadroomError } from '../../../shared/errors.ts';
import { KillSwitchBody } from '../schemas/decisions.ts';
import type { AggregatorService } from '../service.ts';
import { contentTag, IfMatch, mustMatch } from './etag.ts';
import { answers, DryRunQuery, isDryRun, knownHost, knownVm, type Routes } from './route-options.ts';

type Body = Static<typeof KillSwitchBody>;
const Answer = Type.Object({ scope: Type.String(), engaged: Type.Boolean(), dryRun: Type.Boolean() });

function scopeOf(service: AggregatorService, { host, vm }: Body): Parameters<AggregatorService['setKillSwitch']>[0] {
  if (host !== undefined && vm !== undefined) throw new HeadroomError('USAGE', 'name a host or a VM, not both');
  if (host !== undefined) return { kind: 'host', host: knownHost(service, host) };
  return vm === undefined ? { kind: 'fleet' } : { kind: 'vm', vm: knownVm(service, vm) };
}

const State = Type.Object({
  fleet: Type.Boolean(),
  hosts: Type.Array(Type.String(), { description: 'Hosts whose agent says that its switch is engaged' }),
  vms: Type.Array(Type.Object({ id: Type.String(), name: Type.String() }), { description: 'VMs whose own switch is, as their host says' }),
});

function stateOf(service: AggregatorService): Static<typeof State> {
  const { killSwitch, hosts, vms } = service.snapshot();
  return {
    fleet: killSwitch,
    hosts: hosts.filter((host) => host.killSwitch).map(({ id }) => id),
    vms: vms.filter(({ holds }) => holds.some(({ reason }) => reason.startsWith('kill switch'))).map(({ id, name }) => ({ id, name })),
  };
}

export const killSwitchRoutes: Routes = (app, service) => {
  app.get(
    '/v1/kill-switch',
    { schema: { summary: 'Where the kill switch is engaged', tags: ['operations'], response: answers(State) } },
    (_request, reply) => {
      const state = stateOf(service);
      reply.header('etag', contentTag(state));
      return state;
    },
  );
  for (const [method, engaged, summary] of [
    ['PUT', true, 'Engage the kill switch: no change any more, what is in force stays'],
    ['DELETE', false, 'Release the kill switch'],
  ] as const) {
    app.route<{ Body: Body; Querystring: Static<typeof DryRunQuery>; Headers: Static<typeof IfMatch> }>({
      method,
      url: '/v1/kill-switch',
      config: { role: 'operator' },
      schema: {
        summary,
        tags: ['operations'],
        querystring: DryRunQuery,
        headers: IfMatch,
        body: KillSwitchBody,
        response: answers(Answer),
      },
      handler: async (request) => {
        const scope = scopeOf(service, request.body);
        const dryRun = isDryRun(request);
        const ifMatch = request.headers['if-match'];
        if (ifMatch !== undefined) mustMatch(ifMatch, contentTag(stateOf(service)), 'the tag of where the kill switch is engaged');
        if (!dryRun) await service.setKillSwitch(scope, engaged, `http ${request.ip}`, request.body.reason);
        return { scope: scope.kind, engaged, dryRun };
      },
    });
  }
};
