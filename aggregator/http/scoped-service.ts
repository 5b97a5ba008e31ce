/**
 * The service as the one who asks may see it. Somebody of the whole fleet sees all of it, and their name goes with what they
 * change. Somebody of a tenant, or of some labels, sees the VMs in that scope and what is about them; of what belongs to all
 * nothing. Each member is decided here, so that a new one cannot be forgotten. Input: the service, who asks; output: the same.
 */
import { HeadroomError } from '../../shared/errors.ts';
import type { VmId } from '../../shared/ids.ts';
import { inScope, isFleetWide, type Principal } from '../identity/roles.ts';
import { scopedSuspending } from './scoped-suspending.ts';
import type { AggregatorService, VmView } from './service.ts';
import type { SpawnService } from './spawn-service.ts';

/** Who changes something is named with it. */
function scopedSpawning(spawning: SpawnService, named: (by: string) => string): SpawnService {
  return {
    ...spawning,
    applyTemplate: (name, source, by, options) => spawning.applyTemplate(name, source, named(by), options),
    setGroupBounds: (name, bounds, by, dryRun) => spawning.setGroupBounds(name, bounds, named(by), dryRun),
    undoMember: (name, vm, by, dryRun) => spawning.undoMember(name, vm, named(by), dryRun),
    handOver: (name, vm, by, dryRun) => spawning.handOver(name, vm, named(by), dryRun),
    giveBack: (name, vm, by, dryRun) => spawning.giveBack(name, vm, named(by), dryRun),
  };
}

type Recommending = Pick<AggregatorService, 'recommendations' | 'approve' | 'takeBack'>;

function scopedRecommendations(
  service: AggregatorService,
  sees: (vm: VmId) => boolean,
  refuse: (what: string) => never,
  named: (by: string) => string,
): Recommending {
  return {
    recommendations: () => service.recommendations().filter(({ vm }) => sees(vm)),
    approve: async (id, to, by, dryRun) => {
      const hidden = service.recommendations().some((each) => each.id === id && !sees(each.vm));
      return hidden ? refuse(`recommendation ${id}`) : service.approve(id, to, named(by), dryRun);
    },
    takeBack: async (vm, resource, by, dryRun) => (sees(vm) ? service.takeBack(vm, resource, named(by), dryRun) : refuse(`VM ${vm}`)),
  };
}

/** The policy is the whole fleet's. */
function scopedPolicies(
  service: AggregatorService,
  all: () => boolean,
  refuse: (what: string) => never,
  named: (by: string) => string,
): Pick<AggregatorService, 'policies' | 'applyPolicies' | 'policyVersions' | 'policyVersion'> {
  return {
    policies: () => (all() ? service.policies() : refuse('the policy')),
    applyPolicies: async (source, by, options) => (all() ? service.applyPolicies(source, named(by), options) : refuse('the policy')),
    policyVersions: async (limit, before) => (all() ? service.policyVersions(limit, before) : refuse('the policy')),
    policyVersion: async (version) => (all() ? service.policyVersion(version) : refuse('the policy')),
  };
}

/** `whose`: asked at each call. */
export function scopedService(service: AggregatorService, whose: () => Principal, tenantLabel: string): AggregatorService {
  const sees = (vm: VmView | null): vm is VmView => vm !== null && inScope(whose(), vm.labels, tenantLabel);
  const seesId = (vm: VmId | null): boolean => vm !== null && sees(service.vm(vm));
  const all = (): boolean => isFleetWide(whose());
  const refuse = (what: string): never => {
    throw new HeadroomError('PERMISSION', `${whose().name} sees the VMs of its own scope; ${what} is the whole fleet's`);
  };
  const named = (by: string): string => (whose().name === 'local' ? by : `${whose().name} (${by})`);
  const view = (vm: VmId): VmView | null => {
    const found = service.vm(vm);
    return all() || sees(found) ? found : null;
  };
  return {
    version: service.version,
    startedAtMs: service.startedAtMs,
    get epoch() {
      return service.epoch;
    },
    nowMs: () => service.nowMs(),
    ready: () => service.ready(),
    hosts: () => (all() ? service.hosts() : []),
    vms: () => (all() ? service.vms() : service.vms().filter(sees)),
    vm: view,
    snapshot() {
      const snapshot = service.snapshot();
      return all() ? snapshot : { ...snapshot, hosts: [], vms: snapshot.vms.filter(({ id }) => seesId(id)) };
    },
    plans: (limit) => (all() ? service.plans(limit) : []),
    plan: (id) => (all() ? service.plan(id) : null),
    ...scopedPolicies(service, all, refuse, named),
    ...scopedRecommendations(service, (vm) => all() || seesId(vm), refuse, named),
    incidents: () => (all() ? service.incidents() : service.incidents().filter(({ vm }) => seesId(vm as VmId))),
    judgeIncident(id, feedback, by, dryRun) {
      const seen = all() || service.incidents().some((incident) => incident.id === id && seesId(incident.vm as VmId));
      return seen ? service.judgeIncident(id, feedback, named(by), dryRun) : refuse(`incident ${id}`);
    },
    addKnownEvent(event, by) {
      if (!all() && !seesId(event.vm as VmId | null)) refuse('an event of every VM, or of one elsewhere,');
      service.addKnownEvent(event, named(by));
    },
    releaseVm: (vm, by, dryRun) => (all() ? service.releaseVm(vm, named(by), dryRun) : refuse('an isolation')),
    slas: () => (all() ? service.slas() : []),
    loans: () => (all() ? service.loans() : []),
    shortages: () => (all() ? service.shortages() : []),
    capacity: () => (all() ? service.capacity() : []),
    async setKillSwitch(scope, engaged, by, reason) {
      if (!all() && !(scope.kind === 'vm' && seesId(scope.vm))) refuse(`the kill switch of ${scope.kind}`);
      await service.setKillSwitch(scope, engaged, named(by), reason);
    },
    events: {
      recent: (limit) => (all() ? service.events.recent(limit) : service.events.recent(limit).filter(({ vm }) => seesId(vm))),
      subscribe(listener) {
        if (all()) return service.events.subscribe(listener);
        const principal = whose();
        const own = (vm: VmId | null): boolean => vm !== null && inScope(principal, service.vm(vm)?.labels ?? {}, tenantLabel);
        return service.events.subscribe((event) => (own(event.vm) ? listener(event) : undefined));
      },
    },
    notifications: {
      recent: (vm, limit) => (all() || seesId(vm) ? service.notifications.recent(vm, limit) : []),
      subscribe: (vm, listener) => (all() || seesId(vm) ? service.notifications.subscribe(vm, listener) : refuse(`VM ${vm}`)),
    },
    askForLogin: (vm, publicKey, by, dryRun) =>
      all() || seesId(vm) ? service.askForLogin(vm, publicKey, named(by), dryRun) : refuse(`VM ${vm}`),
    login: (vm, id) => (all() || seesId(vm) ? service.login(vm, id) : null),
    get spawning() {
      return all() ? scopedSpawning(service.spawning, named) : refuse('what VMs are made from');
    },
    suspending: scopedSuspending({ service, named, own: (vm) => all() || seesId(vm), refuse }),
    get series() {
      return service.series;
    },
    get ledger() {
      return all() ? service.ledger : refuse('the ledger');
    },
    async ledgerEntries(query) {
      if (all()) return service.ledgerEntries(query);
      if (query.vm === undefined || !seesId(query.vm)) refuse('the ledger (name a VM)');
      // A plan names other VMs, too.
      return (await service.ledgerEntries(query)).filter(
        ({ body }) => body.kind === 'outcome' || body.kind === 'verdict' || body.kind === 'event' || body.kind === 'spawn',
      );
    },
    metrics: () => (all() ? service.metrics() : refuse('the metrics')),
  };
}
