/** Templates for tests of the API: a real library in a ledger, and hosts that answer checks. */

import type { ResourceDemand } from '../../aggregator/core/spawn/demand-view.ts';
import type { GroupMemberView, GroupView, SpawnService } from '../../aggregator/http/spawn-service.ts';
import { TemplateKeeper } from '../../aggregator/service/template-keeper.ts';
import type { LedgerStore } from '../../aggregator/store/ledger-store.ts';
import { HeadroomError } from '../../shared/errors.ts';
import { hostId, vmId } from '../../shared/ids.ts';

export const MADE_TEMPLATE = `version: 1
name: debian-web
description: web server of the shop
software: [nginx]
image: {pool: templates, volume: debian-12.qcow2}
vcpus: 2
memoryMiB: 1024
class: web
`;

const member: GroupMemberView = {
  ...{ vm: vmId('6f1b0000-0000-4000-8000-000000000001'), name: 'web-6f1b0000', host: hostId('kvm1'), template: 'debian-web@1' },
  ...{
    phase: 'serving',
    sinceMs: 1_767_787_000_000,
    reason: 'ready 30 s after it was ordered',
    failed: false,
    handed: false,
    spare: false,
    suspended: false,
  },
};

const MADE_DEMAND: ResourceDemand = {
  ...{ resource: 'cpu', unit: 'cores', quantiles: [0.5, 0.96], aheadMs: [300_000, 600_000], values: [1, 1.2, 1.1, 1.4] },
  ...{ now: 0.9, available: 0.5, soon: 1.5 },
};

export async function madeSpawning(ledger: LedgerStore, nowMs: () => number, empty = false): Promise<SpawnService> {
  const keeper = new TemplateKeeper(ledger);
  let bounds: GroupView['bounds'] = null;
  if (!empty) await keeper.apply('debian-web', MADE_TEMPLATE, { by: 'start', ifVersion: null, dryRun: false, nowMs: nowMs() });
  const group = (): GroupView => ({
    ...{ name: 'web', template: 'debian-web', mode: 'auto', min: 1, max: 6, bounds, members: [member], serving: 1, desired: 2 },
    ...{ reason: '1.4 of cpu for 2 VMs expected in 2 steps', notDone: 'no host can take it: kvm1: it swaps', decidedAtMs: nowMs() },
    demand: [{ resource: 'cpu', stepMs: 300_000, now: 0.9, quantiles: [0.5, 0.96], horizons: [1, 2], values: [1, 1.2, 1.1, 1.4] }],
  });
  const known = (name: string, vm?: string): GroupView => {
    if (name !== 'web' || (vm !== undefined && vm !== member.vm))
      throw new HeadroomError('NOT_FOUND', `no group "${name}", or no such VM in it`);
    return group();
  };
  return {
    demand: (name) => ({
      group: name === null ? null : known(name).name,
      resources: [MADE_DEMAND],
    }),
    groups: () => (empty ? [] : [group()]),
    async setGroupBounds(name, asked, by, dryRun = false) {
      known(name);
      if (asked !== null && (asked.min < 1 || asked.max > 6 || asked.min > asked.max))
        throw new HeadroomError('USAGE', "not within the policy's 1..6");
      const wanted = asked === null ? null : { least: asked.min, most: asked.max, by };
      if (!dryRun) bounds = wanted;
      return { ...group(), bounds: wanted };
    },
    async undoMember(name, vm) {
      known(name, vm);
      throw new HeadroomError('CONFLICT', 'VM web-6f1b0000 is serving: there is nothing to take back, or it is too late');
    },
    handOver: async (name) => known(name),
    async giveBack(name, vm) {
      known(name, vm);
      throw new HeadroomError('CONFLICT', 'VM web-6f1b0000 was made by Headroom: there is nobody to give it back to');
    },
    memberDrained: (name, vm) => known(name, vm),
    templates: () =>
      keeper.list().map(({ kept, template: { description, software, build, probe, asked, readyWithinMs, warmPool } }) => ({
        ...{ ...kept, description, software, probe, asked, readyWithinMs, warmPool, vcpus: build.vcpus, memoryMiB: build.memoryMiB },
        ...{ image: build.disk.image, pool: build.disk.pool, boots: [{ host: 'kvm1', boots: 3, p95Ms: 31_000, lastMs: 29_000 }] },
      })),
    template: (name, version) => keeper.version(name, version),
    templateVersions: (name) => keeper.versions(name),
    applyTemplate: (name, source, by, options) => keeper.apply(name, source, { ...options, by, nowMs: nowMs() }),
    async checkTemplate(name, host) {
      if (keeper.current(name) === null) throw new HeadroomError('NOT_FOUND', `no template is called "${name}"`);
      if (host !== null && host !== member.host) throw new HeadroomError('NOT_FOUND', `no host "${host}" is known`);
      return [{ host: host ?? member.host, ok: false, reason: 'pool templates has no volume called debian-12.qcow2' }];
    },
  };
}
