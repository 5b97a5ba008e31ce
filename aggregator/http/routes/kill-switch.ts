/** PUT and DELETE /v1/kill-switch: stop every change to the fleet, a host or a VM; and go on. */
import Type, { type Static } from 'typebox';
import { HeadroomError } from '../../../shared/errors.ts';
import { KillSwitchBody } from '../schemas/decisions.ts';
import type { AggregatorService } from '../service.ts';
import { answers, knownHost, knownVm, type Routes } from './route-options.ts';

type Body = Static<typeof KillSwitchBody>;
const Answer = Type.Object({ scope: Type.String(), engaged: Type.Boolean() });

function scopeOf(service: AggregatorService, { host, vm }: Body): Parameters<AggregatorService['setKillSwitch']>[0] {
  if (host !== undefined && vm !== undefined) throw new HeadroomError('USAGE', 'name a host or a VM, not both');
  if (host !== undefined) return { kind: 'host', host: knownHost(service, host) };
  return vm === undefined ? { kind: 'fleet' } : { kind: 'vm', vm: knownVm(service, vm) };
}

export const killSwitchRoutes: Routes = (app, service) => {
  for (const [method, engaged, summary] of [
    ['PUT', true, 'Engage the kill switch: no change any more, what is in force stays'],
    ['DELETE', false, 'Release the kill switch'],
  ] as const) {
    app.route<{ Body: Body }>({
      method,
      url: '/v1/kill-switch',
      schema: { summary, tags: ['operations'], body: KillSwitchBody, response: answers(Answer) },
      handler: async (request) => {
        const scope = scopeOf(service, request.body);
        await service.setKillSwitch(scope, engaged, `http ${request.ip}`, request.body.reason);
        return { scope: scope.kind, engaged };
      },
    });
  }
};
