/** Goal: the demo's policy is valid, manages CPU and memory and nothing else, and gives the control every word but its forecaster. */
import t from 'tap';
import { FORECASTERS } from '../../aggregator/core/forecast/registry.ts';
import { parsePolicyFile } from '../../aggregator/core/plan/policy-file.ts';
import { ROSTER } from '../../demo/guests/roster.ts';
import { demoPolicy } from '../../demo/policy.ts';
import { DAY_MS, offerAt, STEP_MS } from '../../demo/workload/pattern.ts';
import { hostId, vmId } from '../../shared/ids.ts';

const { policy } = parsePolicyFile(demoPolicy(), { version: 1, forecasters: FORECASTERS });
const host = hostId('demo');
const id = vmId('6f1b0000-0000-4000-8000-0000000000a1');
const of = (role: string, resource: 'cpu' | 'memory' | 'network' | 'disk') => {
  const guest = ROSTER.find((entry) => entry.role === role);
  t.ok(guest, role);
  return policy.resolve({ id, host, name: guest?.name ?? '', labels: guest?.labels ?? {} }, resource);
};

t.test('CPU is capped always, memory is managed, network and disk are watched', async (t) => {
  t.match(of('web', 'cpu'), { mode: 'auto', cpuEnforcement: 'cap-always', forecaster: 'aggregate' });
  t.match(of('batch', 'memory'), { mode: 'auto', forecaster: 'aggregate' });
  for (const resource of ['network', 'disk'] as const) t.equal(of('idle', resource).mode, 'observe');
});

t.test('the control differs in its forecaster alone', async (t) => {
  for (const resource of ['cpu', 'memory'] as const) {
    const { rule: _web, forecaster: web, ...webRest } = of('web', resource);
    const { rule: _control, forecaster: control, ...controlRest } = of('control', resource);
    t.same(controlRest, webRest);
    t.same([web, control], ['aggregate', 'last-value']);
  }
});

t.test('rises can be led: the middle of what a guest offers lies above the floor, even if the guest itself cost nothing', async (t) => {
  for (const role of ['web', 'batch', 'control']) {
    const guest = ROSTER.find((entry) => entry.role === role);
    t.ok(guest, role);
    const offered = Array.from({ length: DAY_MS / STEP_MS }, (_, step) => offerAt(guest?.role ?? 'web', step * STEP_MS).cores);
    const middle = (Math.min(...offered) + Math.max(...offered)) / 2;
    t.ok(middle > 1.05 * (of(role, 'cpu').floor ?? Number.POSITIVE_INFINITY), `${role}: ${middle.toFixed(3)} cores`);
  }
});
