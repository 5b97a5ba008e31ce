/** Templates for tests of the API: a real library in a ledger, and hosts that answer checks. */
import type { SpawnService } from '../../aggregator/http/spawn-service.ts';
import { TemplateKeeper } from '../../aggregator/service/template-keeper.ts';
import type { LedgerStore } from '../../aggregator/store/ledger-store.ts';
import { HeadroomError } from '../../shared/errors.ts';
import { hostId } from '../../shared/ids.ts';

export const MADE_TEMPLATE = `version: 1
name: debian-web
description: web server of the shop
software: [nginx]
image: {pool: templates, volume: debian-12.qcow2}
vcpus: 2
memoryMiB: 1024
class: web
`;

export async function madeSpawning(ledger: LedgerStore, nowMs: () => number): Promise<SpawnService> {
  const keeper = new TemplateKeeper(ledger);
  await keeper.apply('debian-web', MADE_TEMPLATE, { by: 'start', ifVersion: null, dryRun: false, nowMs: nowMs() });
  return {
    templates: () =>
      keeper.list().map(({ kept, template: { description, software, build, probe, readyWithinMs, warmPool } }) => ({
        ...{ ...kept, description, software, probe, readyWithinMs, warmPool, vcpus: build.vcpus, memoryMiB: build.memoryMiB },
        ...{ image: build.disk.image, pool: build.disk.pool, boots: [{ host: 'kvm1', boots: 3, p95Ms: 31_000, lastMs: 29_000 }] },
      })),
    template: (name, version) => keeper.version(name, version),
    templateVersions: (name) => keeper.versions(name),
    applyTemplate: (name, source, by, options) => keeper.apply(name, source, { ...options, by, nowMs: nowMs() }),
    async checkTemplate(name, host) {
      if (keeper.current(name) === null) throw new HeadroomError('NOT_FOUND', `no template is called "${name}"`);
      return [{ host: host ?? hostId('kvm1'), ok: false, reason: 'pool templates has no volume called debian-12.qcow2' }];
    },
  };
}
