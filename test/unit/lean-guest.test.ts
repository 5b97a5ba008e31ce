/**
 * Goal: the checks generated for the lean guest's program let through and refuse exactly what the schemas' own do.
 */
import { build } from 'esbuild';
import fc from 'fast-check';
import t from 'tap';
import { generatedChecks } from '../../scripts/packaging/lean-guest.ts';
import { checkOf, type FrameCheck } from '../../shared/protocol/frame-checks.ts';
import { receivable } from '../../shared/protocol/validate.ts';

const built = await build({
  stdin: { contents: generatedChecks(), resolveDir: import.meta.dirname, loader: 'js' },
  bundle: true,
  write: false,
  format: 'esm',
});
const generated = (await import(`data:text/javascript,${encodeURIComponent(built.outputFiles[0]!.text)}`)) as {
  checkOf: (type: string) => FrameCheck | undefined;
};

const VM = '00000000-0000-4000-8000-000000000001';
const PAIR = { epoch: 3, generation: 7 };
const SOUND: Record<string, Record<string, unknown>> = {
  welcome: { type: 'welcome', version: 1, connectionId: 'c', epoch: 1, heartbeatMs: 1000, window: 8, backlogRowsPerSecond: 100, wallMs: 1 },
  ack: { type: 'ack', bootId: 'b', lane: 'live', fromSeq: 1, toSeq: 2 },
  'guest-command': { type: 'guest-command', commandId: 'x', vm: VM, pair: PAIR, action: { kind: 'cpus-online', vcpus: 2 } },
  ping: { type: 'ping', id: 1 },
  pong: { type: 'pong', id: 1 },
  goodbye: { type: 'goodbye', reason: 'done' },
  error: { type: 'error', code: 'X', message: 'y' },
  pool: {
    type: 'pool',
    vm: VM,
    atMs: 1,
    entries: [{ resource: 'cpu', unit: 'cores', guaranteed: 1, granted: 2, borrowed: null, expected: [{ atMs: 5, amount: 2 }] }],
  },
  hint: { type: 'hint', hintId: 'h', vm: VM, resource: 'cpu', amount: 4, inMs: 0, forMs: 1000 },
  credential: {
    ...{ type: 'credential', commandId: 'x', vm: VM, state: 'ready', reason: 'made', account: 'ops', method: 'ssh-key' },
    ...{ expiresAtMs: 1, sealed: 'a.b.c.d.e', elapsedMs: 3, phases: [{ name: 'secret', ms: 1 }] },
    stalledMs: { cpu: 0, memory: null, io: 1 },
  },
  result: {
    type: 'result',
    commandId: 'x',
    vm: VM,
    resource: 'cpu',
    pair: PAIR,
    outcome: 'applied',
    reason: '2 vCPUs online',
    readBack: null,
    wallMs: 1,
  },
};

t.test('every frame a guest receives or sends has a check, no other has', async (t) => {
  const sent = receivable('host-agent-from-guest').filter((type) => type !== 'hello' && type !== 'telemetry');
  for (const type of [...receivable('guest-agent'), ...sent]) t.ok(generated.checkOf(type)?.holds(SOUND[type]), type);
  for (const type of ['inventory', 'command', 'lease', 'toString', 'nonsense']) t.equal(generated.checkOf(type), undefined, type);
});

t.test('one field changed, left out or added: both say the same', async (t) => {
  const odd = fc.oneof(
    fc.anything(),
    fc.constantFrom<unknown>(null, '', 'live', 'backlog', 'cpu', VM, VM.toUpperCase(), -1, 0, 1.5, 2 ** 53, Number.NaN, 'x'.repeat(2000)),
    fc.string({ maxLength: 80, unit: 'binary' }),
  );
  for (const [type, sound] of Object.entries(SOUND)) {
    if (generated.checkOf(type) === undefined) continue;
    fc.assert(
      fc.property(fc.constantFrom(...Object.keys(sound), 'more'), odd, fc.boolean(), (key, value, leaveOut) => {
        const changed: Record<string, unknown> = { ...sound, [key]: value };
        if (leaveOut) delete changed[key];
        return generated.checkOf(type)!.holds(changed) === checkOf(type)!.holds(changed);
      }),
      { numRuns: 400 },
    );
  }
  t.pass('400 runs a type');
});
