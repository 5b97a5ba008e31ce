/** Groups, as the API reads and steers them. Policy, spawner and people's words in; views out. */
import { HeadroomError } from '../../shared/errors.ts';
import type { GroupPolicy } from '../core/plan/group-policy.ts';
import type { FleetState } from '../core/state/fleet-state.ts';
import type { GroupView, SpawnService } from '../http/spawn-service.ts';
import type { GroupOutlook } from './group-decider.ts';
import type { Spawner } from './spawner.ts';

type GroupService = Pick<SpawnService, 'groups' | 'setGroupBounds' | 'undoMember' | 'memberDrained' | 'handOver' | 'giveBack'>;

export interface GroupServiceOptions {
  state: FleetState;
  spawner: Spawner;
}

export function groupService({ state, spawner }: GroupServiceOptions): GroupService {
  const known = (name: string): GroupPolicy => {
    const group = state.policy.groups?.find((each) => each.name === name);
    if (group === undefined) throw new HeadroomError('NOT_FOUND', `the policy has no group "${name}"; GET /v1/groups lists them`);
    return group;
  };
  const view = (group: GroupPolicy): GroupView => viewOf(group, spawner);
  /** VMs are asked for by the group they are of: a slip of the hand reaches no other. */
  const checkMember = (name: string, vm: string): void => {
    if (!spawner.records.some((record) => record.vm === vm && record.group === name))
      throw new HeadroomError('NOT_FOUND', `group "${name}" has no VM ${vm} of Headroom's making`);
  };
  return {
    groups: () => (state.policy.groups ?? []).map(view),
    async setGroupBounds(name, asked, by, dryRun = false) {
      const group = known(name);
      const bounds = asked === null ? null : { least: asked.min, most: asked.max, by };
      await spawner.setBounds(group, bounds, dryRun);
      return { ...view(group), bounds };
    },
    async undoMember(name, vm, by, dryRun = false) {
      checkMember(name, vm);
      await spawner.undo(vm, by, dryRun);
      return view(known(name));
    },
    async handOver(name, vm, by, dryRun = false) {
      const group = known(name);
      const sight = await spawner.look([vm]);
      if (sight === null) throw new HeadroomError('UNAVAILABLE', 'an aggregator does not tell of its hosts now; try again in a while');
      const found = sight.vms.find(({ id }) => id === vm);
      if (found === undefined) throw new HeadroomError('NOT_FOUND', `no VM ${vm} is known; headroom vm list lists them`);
      const { host, name: called, vcpus, bootMemoryMiB: memoryMiB, labels } = found;
      if (!group.matches({ id: vm, name: called, host, labels })) {
        throw new HeadroomError(
          'CONFLICT',
          `VM ${called} does not serve with group ${name}: the group's match in the policy says which do`,
        );
      }
      if (found.state !== 'ready') throw new HeadroomError('CONFLICT', `VM ${called} is ${found.state}: it is handed over while it serves`);
      if (!sight.hosts.some(({ id, takesVms }) => id === host && takesVms)) {
        throw new HeadroomError('UNAVAILABLE', `the agent of host ${host} takes no VMs: its administrator names them with --hand-over`);
      }
      await spawner.handOver({ vm, name: called, host, group: name, vcpus, memoryMiB, reason: `handed over by ${by}` }, dryRun);
      return view(group);
    },
    async giveBack(name, vm, by, dryRun = false) {
      checkMember(name, vm);
      await spawner.giveBack(vm, by, dryRun);
      return view(known(name));
    },
    memberDrained(name, vm, dryRun = false) {
      checkMember(name, vm);
      spawner.drained(vm, dryRun);
      return view(known(name));
    },
  };
}

function viewOf(group: GroupPolicy, spawner: Spawner): GroupView {
  const { name, template, mode, least: min, most: max } = group;
  const look = spawner.groups.lookOf(name);
  const members = spawner.records
    .filter((record) => record.group === name)
    .map((record) => {
      const { vm, host, phase, sinceMs, reason, failed, handed = false, spare = false, rest } = record;
      return {
        vm,
        name: record.name,
        host,
        template: record.template,
        phase,
        sinceMs,
        reason,
        failed,
        handed,
        spare,
        suspended: rest === 'suspended',
      };
    });
  return {
    ...{ name, template, mode, min, max, members },
    bounds: spawner.memoryOf(name).bounds,
    serving: members.filter(({ phase }) => phase === 'serving').length,
    desired: look?.decision.desired.size ?? null,
    reason: look?.decision.desired.reason ?? (mode === 'off' ? 'its mode is off' : 'nothing was decided yet'),
    notDone: look?.decision.notDone ?? null,
    decidedAtMs: look?.atMs ?? null,
    demand: spawner.groups.outlook(group).map(demandOf),
  };
}

function demandOf({ resource, stepMs, now, forecast }: GroupOutlook): GroupView['demand'][number] {
  const { quantiles, horizons, values } = forecast ?? { quantiles: [], horizons: [], values: [] };
  return { resource, stepMs, now, quantiles, horizons, values: [...values] };
}
