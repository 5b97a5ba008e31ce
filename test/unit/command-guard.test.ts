/**
 * Goal: every reason for which a command must not be carried out, one by one, and that nothing else stops a sound one.
 */
import t from 'tap';
import { type Command, type GuardedHost, type GuardedVm, guardCommand } from '../../agent/core/command-guard.ts';
import type { Setting } from '../../shared/resources.ts';
import { told } from '../support/told.ts';

const VM = '00000000-0000-4000-8000-000000000001';
const cpu = (capCores: number | null, weight = 100): Setting => ({ resource: 'cpu', weight, capCores });
const memory = (memoryMiB: number): Setting => ({ resource: 'memory', memoryMiB });
const allowed = { allowed: true } as const;

const command = (over: Partial<Command> = {}): Command => ({
  type: 'command',
  commandId: 'c1',
  vm: VM,
  resource: 'cpu',
  pair: { epoch: 2, generation: 5 },
  leaseMs: 60_000,
  previous: cpu(1),
  target: cpu(1.5),
  floor: 0.5,
  ceiling: 2,
  mode: 'auto',
  reason: 'a rise is coming',
  ...over,
});
const forMemory = (target: number, over: Partial<Command> = {}): Command =>
  command({ resource: 'memory', previous: memory(512), target: memory(target), floor: 64, ceiling: 1024, ...over });

const vm = (over: Partial<GuardedVm> = {}): GuardedVm => ({
  running: true,
  vcpus: 2,
  eligibility: { cpu: allowed, memory: allowed, network: allowed, disk: allowed },
  growOnly: false,
  current: { cpu: cpu(1), memory: memory(512) },
  pairs: { cpu: { epoch: 2, generation: 4 } },
  results: [],
  holds: {},
  jobActive: false,
  killed: null,
  memory: { targetMiB: 512, fromMiB: null, balloonMiB: 512, ...told(300, 212), rssMiB: 500, pressure: false },
  ...over,
});
const host = (over: Partial<GuardedHost> = {}): GuardedHost => ({
  killed: null,
  balloonManager: null,
  usableMiB: 4096,
  exposureMiB: 1024,
  freeMiB: 2048,
  ...over,
});

const verdict = (c: Command, v: GuardedVm | undefined = vm(), h: GuardedHost = host(), waitedMs = 10) => guardCommand(c, v, h, waitedMs);

t.test('a sound command goes on', async (t) => {
  t.same(verdict(command()), { kind: 'go', setting: cpu(1.5) });
  t.same(verdict(command({ pair: { epoch: 3, generation: 0 } })), { kind: 'go', setting: cpu(1.5) }, 'a new epoch begins its own count');
  t.same(verdict(forMemory(400)), { kind: 'go', setting: memory(400) });
  t.same(verdict(forMemory(700)), { kind: 'go', setting: memory(700) });
});

t.test('refused or skipped', async (t) => {
  const refused: [string, Command, GuardedVm | undefined, GuardedHost, RegExp][] = [
    ['a lower pair', command({ pair: { epoch: 2, generation: 3 } }), vm(), host(), /below \(2, 4\)/],
    ['an older epoch', command({ pair: { epoch: 1, generation: 99 } }), vm(), host(), /below/],
    ['another resource in the target', command({ target: memory(5) }), vm(), host(), /target for memory/],
    ['observe', command({ mode: 'observe' }), vm(), host(), /mode observe/],
    ['recommend', command({ mode: 'recommend' }), vm(), host(), /mode recommend/],
    ['off', command({ mode: 'off' }), vm(), host(), /mode off/],
    ['no lease', command({ leaseMs: 0 }), vm(), host(), /lease/],
    ['ineligible', command(), vm({ eligibility: { ...vm().eligibility, cpu: { allowed: false, reason: 'pinned' } } }), host(), /pinned/],
    ['hands off', command(), vm({ holds: { cpu: 'someone else set it' } }), host(), /hands off: someone else/],
    ['kill switch of the host', command(), vm(), host({ killed: 'drill' }), /kill switch: drill/],
    ['kill switch of the VM', command(), vm({ killed: 'drill' }), host(), /kill switch: drill/],
    ['below the floor', command({ target: cpu(0.45), floor: 0.5 }), vm(), host(), /floor of 0.5/],
    ['above the ceiling', command({ target: cpu(3) }), vm(), host(), /ceiling of 2/],
    ['no cap above a ceiling', command({ target: cpu(null), ceiling: 1.5 }), vm(), host(), /ceiling/],
    ['below 20 % of each vCPU', command({ target: cpu(0.39), floor: 0.1 }), vm(), host(), /20 %/],
    ['grow-only class', command({ target: cpu(0.9) }), vm({ growOnly: true }), host(), /only grows/],
    ['another balloon manager', forMemory(400), vm(), host({ balloonManager: 'oVirt MOM' }), /oVirt MOM/],
    ['below the working set and margin', forMemory(220), vm(), host(), /working set/],
    ['no fresh statistics', forMemory(400), vm({ memory: { ...vm().memory, ...told(null, null) } }), host(), /vouched/],
    ['pressure', forMemory(400), vm({ memory: { ...vm().memory, pressure: true } }), host(), /short of memory/],
    ['balloon unknown', forMemory(700), vm({ memory: { ...vm().memory, balloonMiB: null } }), host(), /balloon is unknown/],
    ['beyond the sums', forMemory(700), vm(), host({ exposureMiB: 3950 }), /of 4096 MiB/],
    ['beyond free memory', forMemory(700), vm(), host({ freeMiB: 100 }), /100 MiB free/],
    ['capacity unknown', forMemory(700), vm(), host({ usableMiB: null }), /memory of the host is unknown/],
  ];
  for (const [name, c, v, h, reason] of refused) t.match(verdict(c, v, h), { kind: 'no', outcome: 'refused', reason }, name);
  t.match(guardCommand(command(), undefined, host(), 0), { outcome: 'refused', reason: /not on this host/ });
  t.match(verdict(command(), vm(), host(), 60_001), { outcome: 'refused', reason: /ran out/ }, 'waited longer than its lease');
  const skipped: [string, Command, GuardedVm, RegExp][] = [
    ['the pair was used here', command({ pair: { epoch: 2, generation: 4 } }), vm(), /used here already/],
    ['another value in force', command({ previous: cpu(0.8) }), vm(), /not .* as planned from/],
    ['value unknown', command(), vm({ current: {} }), /unknown/],
    ['not running', command(), vm({ running: false }), /not running/],
    ['job', command(), vm({ jobActive: true }), /job/],
  ];
  for (const [name, c, v, reason] of skipped) t.match(verdict(c, v), { kind: 'no', outcome: 'skipped', reason }, name);
});

t.test('a repeat is answered as before, also when it would now be refused', async (t) => {
  const { commandId, vm: id, resource, pair } = command();
  const result = {
    type: 'result' as const,
    commandId,
    vm: id,
    resource,
    pair,
    outcome: 'applied' as const,
    reason: '',
    readBack: cpu(1.5),
    wallMs: 1,
  };
  const later = vm({ results: [result], pairs: { cpu: { epoch: 9, generation: 9 } }, current: { cpu: cpu(0.7) } });
  t.same(verdict(command(), later, host({ killed: 'drill' })), { kind: 'repeat', result });
  t.match(verdict(command({ commandId: 'c2' }), later), { outcome: 'refused' }, 'another command with the same pair is no repeat');
});

t.test('moving towards the permitted range is welcome', async (t) => {
  t.match(verdict(command({ previous: cpu(0.6), target: cpu(0.7), floor: 1 }), vm({ current: { cpu: cpu(0.6) } })), { kind: 'go' });
  t.match(verdict(command({ previous: cpu(1.9), target: cpu(1.8), ceiling: 1 }), vm({ current: { cpu: cpu(1.9) } })), { kind: 'go' });
  t.match(
    verdict(command({ previous: cpu(null), target: cpu(null, 150), ceiling: 1.5 }), vm({ current: { cpu: cpu(null) } })),
    { kind: 'go' },
    'weight alone changes no cap',
  );
});

t.test('a balloon in motion', async (t) => {
  const moving = vm({
    current: { memory: memory(480) },
    memory: { targetMiB: 400, fromMiB: null, balloonMiB: 480, ...told(200, 280), rssMiB: 480, pressure: false },
  });
  t.match(verdict(forMemory(390, { previous: memory(400) }), moving), { kind: 'go' }, 'its target counts as in force');
  t.match(verdict(forMemory(390, { previous: memory(440) }), moving), { kind: 'go' }, 'and all sizes between');
  t.match(verdict(forMemory(390, { previous: memory(512) }), moving), { outcome: 'skipped' }, 'but nothing else');
  const from = { ...moving, memory: { ...moving.memory, fromMiB: 512 } };
  t.match(verdict(forMemory(390, { previous: memory(500) }), from), { kind: 'go' }, 'nor is what was reported on its way since our write');
  t.match(verdict(forMemory(390, { previous: memory(520) }), from), { outcome: 'skipped' });
  const squeezed = { ...moving, memory: { ...moving.memory, pressure: true, ...told(null, null) } };
  t.match(
    verdict(forMemory(450, { previous: memory(400) }), squeezed),
    { kind: 'go' },
    'stopping an inflation takes nothing from the guest',
  );
});
