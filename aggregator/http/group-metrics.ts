/** Groups' sizes as Prometheus gauges, for whoever else scales by them. Input: group views, a registry; output: gauges in it. */
import { Gauge, type Registry } from 'prom-client';
import { SPAWN_PHASES } from '../core/spawn/spawn-record.ts';
import type { GroupView } from './spawn-service.ts';

const GAUGES: Readonly<Record<string, { help: string; value: (of: GroupView) => number | null }>> = {
  headroom_group_desired_size: { help: 'Members it should have by the time a VM ordered now serves', value: ({ desired }) => desired },
  headroom_group_serving: { help: "Members of Headroom's making that serve", value: ({ serving }) => serving },
  headroom_group_min: { help: 'Fewest members, by the policy or by bounds within it', value: ({ bounds, min }) => bounds?.least ?? min },
  headroom_group_max: { help: 'Most members, likewise', value: ({ bounds, max }) => bounds?.most ?? max },
};

export function groupGauges(groups: readonly GroupView[], registry: Registry): void {
  for (const [name, { help, value }] of Object.entries(GAUGES)) {
    const gauge = new Gauge({ name, help, labelNames: ['group'], registers: [registry] });
    for (const group of groups) {
      const amount = value(group);
      if (amount !== null) gauge.set({ group: group.name }, amount);
    }
  }
  const help = "Members of Headroom's making, by the phase of their life";
  const members = new Gauge({ name: 'headroom_group_members', help, labelNames: ['group', 'phase'], registers: [registry] });
  for (const { name, members: all } of groups) {
    for (const phase of SPAWN_PHASES) members.set({ group: name, phase }, all.filter((member) => member.phase === phase).length);
  }
}
