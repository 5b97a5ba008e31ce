/** The desk that makes VMs, within one host agent: what it asks of the agent's other parts. Means and context in, desk out. */
import { BuildDesk, type BuildMeans, type MemberRest } from './build-desk.ts';
import { noteServing } from './discover.ts';
import { type HostContext, killReason } from './host-context.ts';

/** An old owner's orders are refused from the moment this host has met a newer one, and after a restart by what its journal holds. */
export function createBuildDesk(means: BuildMeans, context: HostContext, welcomed: () => number, rest: MemberRest | null): BuildDesk {
  const { clock, log, host, table } = context;
  const written = (): number[] => [...table.values()].flatMap(({ record }) => Object.values(record.pairs).map((pair) => pair.epoch));
  return new BuildDesk({
    ...means,
    ...{ clock, log, rest },
    epoch: () => Math.max(welcomed(), host.lease?.epoch ?? 0, ...written()),
    killed: (vm) => killReason(context, vm),
    send: (result) => context.send(result),
    changed: () => context.changed(),
    nameOf: (vm) => {
      const entry = table.get(vm);
      return entry?.managed ? entry.name : null;
    },
    serves: (vm) => noteServing(context, vm),
  });
}
