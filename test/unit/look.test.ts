/**
 * Goal: the first look tells, per VM, what may be managed and why not, which limits hold and who set them, what is missing,
 * and where waste and pressure are; it writes nothing, names what it could not look at, and prints one JSON line on request.
 */
import t from 'tap';
import { noData } from '../../agent/collectors/collector.ts';
import { createSimulatedHypervisor, type SimulatedHypervisor, type SimulatedOptions } from '../../agent/hypervisor/simulated.ts';
import { look } from '../../agent/look.ts';
import { HeadroomError } from '../../shared/errors.ts';
import { vmId } from '../../shared/ids.ts';
import { createPrng } from '../../shared/prng.ts';
import { NodeClock, SimulatedTime } from '../../simulation/clock.ts';

const id = (n: number) => vmId(`6f1b0000-0000-4000-8000-00000000000${n}`);

function setUp(more: Partial<SimulatedOptions> = {}) {
  const time = new SimulatedTime(createPrng(3), Date.UTC(2026, 0, 1));
  const clock = new NodeClock(time);
  const methods: string[] = [];
  const hypervisor: SimulatedHypervisor = createSimulatedHypervisor({
    clock,
    cpuCores: 4,
    memoryMiB: 8192,
    vms: [
      { id: id(1), name: 'busy', vcpus: 2, bootMemoryMiB: 1024, cpuDemandCores: () => 2, workingSetMiB: () => 300, statsPeriodSeconds: 1 },
      {
        id: id(2),
        name: 'idle',
        vcpus: 2,
        bootMemoryMiB: 2048,
        cpuDemandCores: () => 0.1,
        workingSetMiB: () => 200,
        facts: {
          lockedMemory: true,
          labels: { class: 'cluster' },
          channels: [{ name: 'org.headroom.agent.0', path: '/x', connected: true }],
        },
      },
      { id: id(3), name: 'off', vcpus: 1, bootMemoryMiB: 512, cpuDemandCores: () => 0, workingSetMiB: () => 0, power: 'shutoff' },
    ],
    fault: (call) => {
      methods.push(call.method);
      return null;
    },
    ...more,
  });
  const lines: string[] = [];
  const run = async (json = false, sampleSeconds = 10) => {
    const result = look({
      hypervisor,
      hostName: 'host-a',
      collectors: [],
      counters: (processId) => (processId === 1001 ? noData('none') : hypervisor.counters(id(processId - 999))),
      balloonManager: () => null,
      clock,
      sampleSeconds,
      json,
      out: (line) => lines.push(line),
    });
    const settled = result.catch((error) => error);
    await time.runUntil(time.nowMs + 60_000);
    await settled;
    return result;
  };
  return { hypervisor, time, methods, lines, run };
}

t.test('what is there, who set it, what is missing, waste and pressure', async (t) => {
  const { hypervisor, run, methods, lines } = setUp();
  hypervisor.foreignWrite(id(1), { resource: 'cpu', weight: 100, capCores: 1 });
  const report = await run();
  const [busy, idle] = report.vms;
  t.match(
    busy?.limits.find(({ resource }) => resource === 'cpu'),
    { setBy: 'someone live', words: /cap 1.00 cores/ },
  );
  t.match(
    busy?.limits.find(({ resource }) => resource === 'disk'),
    { setBy: 'definition', words: 'no limit' },
  );
  t.match(busy?.pressure, [/^throttled 50 %/]);
  t.ok(Math.abs((busy?.cpu.usedFraction ?? 0) - 1) < 0.05, 'all it is allowed is used');
  t.ok(Math.abs((busy?.memory.usedMiB ?? 0) - 300) < 5);
  t.ok(busy?.missingSignals.some((words) => /no guest agent channel/.test(words)));
  t.match(idle?.eligibility.memory, { allowed: false, reason: /locked/ });
  t.equal(idle?.growOnly, true);
  t.equal(idle?.memory.usedMiB, null, 'without statistics memory use is unknown, not zero');
  t.ok(idle?.missingSignals.some((words) => /memory demand is unknown/.test(words)));
  t.ok(idle?.missingSignals.some((words) => /control groups were not found/.test(words)));
  t.ok((idle?.cpu.usedFraction ?? 1) < 0.1, 'and by the hypervisor’s statistics it is idle');
  t.same(report.notRunning, [{ vm: id(3), name: 'off', power: 'shutoff' }]);
  t.equal(report.host.allowedCores, 3);
  t.notOk(
    methods.some((method) => /^(write|set)/.test(method)),
    'nothing was written',
  );
  const text = lines.join('\n');
  for (const words of [/busy/, /set live by someone/, /never: its memory is locked/, /Not running: off/, /Nothing was written/])
    t.match(text, words);
});

t.test('Headroom’s own limits are told apart by its mark', async (t) => {
  const { hypervisor, run } = setUp();
  await hypervisor.connect();
  await hypervisor.writeSetting(id(1), { resource: 'cpu', weight: 100, capCores: 1 });
  await hypervisor.writeMetadata(id(1), '<state/>');
  const report = await run();
  t.match(
    report.vms[0]?.limits.find(({ resource }) => resource === 'cpu'),
    { setBy: 'headroom' },
  );
});

t.test('--json is one line; a VM that cannot be looked at is named; a stuck one too', async (t) => {
  const { hypervisor, run, lines } = setUp({
    callDeadlineMs: 1000,
    fault: ({ method, id: vm }) =>
      method === 'facts' && vm === id(2) ? { kind: 'error', code: 'HYPERVISOR_REFUSED', message: 'gone' } : null,
  });
  hypervisor.setStuck(id(1), true);
  await run(true).catch((error) => error);
  t.equal(lines.length, 1);
  const report = JSON.parse(lines[0]!);
  t.match(report.problems, [/busy: .*did not answer/, /idle: gone/]);
});

t.test('no daemon, or a sample that would take too long: an error in words', async (t) => {
  const { hypervisor, run } = setUp();
  await t.rejects(run(false, 60), { code: 'USAGE', message: /1 to 45 s/ });
  hypervisor.setConnected(false, 'not running');
  const error = await run().catch((problem) => problem);
  t.ok(error instanceof HeadroomError && error.code === 'HYPERVISOR_UNAVAILABLE');
});
