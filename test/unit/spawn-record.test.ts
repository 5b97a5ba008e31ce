/**
 * Goal: a VM made by Headroom lives as its terms say: ordered until answered, served only when ready, drained before it is stopped,
 * ended by force only after its grace and only where the policy says so, called back while that is possible, and never forgotten
 * before its host says that nothing is left, whatever goes wrong on the way.
 */
import fc from 'fast-check';
import t from 'tap';
import {
  callBack,
  giveBack,
  giveUp,
  nextOfSpawn,
  SPAWN_PHASES,
  type SpawnRecord,
  type SpawnSeen,
  type SpawnTerms,
} from '../../aggregator/core/spawn/spawn-record.ts';
import { hostId, vmId } from '../../shared/ids.ts';
import { OUTCOMES, VM_STATES } from '../../shared/resources.ts';

const TERMS: SpawnTerms = {
  readyWithinMs: 300_000,
  probed: false,
  drainMs: 60_000,
  graceMs: 90_000,
  ignores: 'force',
  undoMs: 600_000,
  pooled: false,
  suspends: false,
  cannotSuspend: '',
  hostLostMs: 120_000,
  retryMs: 5000,
};
const START = 1_000_000;
const RECORD: SpawnRecord = {
  vm: vmId('6f1b0000-0000-4000-8000-000000000001'),
  name: 'web-1',
  orderId: 'order-1',
  group: 'web',
  template: 'debian-web@3',
  host: hostId('kvm1'),
  vcpus: 2,
  memoryMiB: 1024,
  pool: 'templates',
  phase: 'building',
  generation: 1,
  warm: false,
  spare: false,
  handed: false,
  sinceMs: START,
  reason: 'ordered',
  orderedAtMs: START,
  sentAtMs: null,
  failed: false,
};
const NOTHING: SpawnSeen = {
  ...{ hostConnected: true, hostAwaySinceMs: null, state: null, ready: false, unreached: null, answer: null, drained: false },
};
const APPLIED = { outcome: 'applied', reason: '' } as const;

const inPhase = (phase: SpawnRecord['phase'], change: Partial<SpawnRecord> = {}): SpawnRecord => ({ ...RECORD, phase, ...change });
const next = (record: SpawnRecord, seen: Partial<SpawnSeen>, afterMs = 1000, terms: Partial<SpawnTerms> = {}) =>
  nextOfSpawn(record, { ...NOTHING, ...seen }, { ...TERMS, ...terms }, record.sinceMs + afterMs);

t.test('a life that goes well', async (t) => {
  const ordered = next(RECORD, {}, 0);
  t.match(ordered, { order: 'build', record: { phase: 'building', sentAtMs: START } });
  t.match(next(ordered.record!, {}, 1000), { order: null, told: null }, 'not sent again at once');
  t.match(next(ordered.record!, {}, 5000), { order: 'build' }, 'sent again while there is no answer');
  const booting = next(ordered.record!, { answer: APPLIED }, 8000);
  t.match(booting, { record: { phase: 'booting' }, told: 'made and started on kvm1' });
  t.equal(next(booting.record!, { state: 'launching', ready: true }).record!.phase, 'booting', 'a probe alone is not enough');
  const serving = next(booting.record!, { state: 'ready', ready: true }, 22_000);
  t.match(serving, { record: { phase: 'serving', failed: false }, told: 'ready 30 s after it was ordered' });
  const draining = giveUp(serving.record!, 'no more than 2 VMs are wanted', START);
  t.match(draining, { phase: 'draining', reason: 'no more than 2 VMs are wanted' });
  t.equal(next(draining, { state: 'ready' }, 59_000).record!.phase, 'draining');
  const stopping = next(draining, { drained: true }, 1000);
  t.match(stopping, { record: { phase: 'stopping' }, order: null });
  t.match(next(stopping.record!, { state: 'ready' }, 0), { order: 'stop' });
  const stopped = next(stopping.record!, { state: 'stopped' }, 2000);
  t.match(stopped, { record: { phase: 'stopped' } });
  t.equal(next(stopped.record!, {}, 599_000).record!.phase, 'stopped');
  const removing = next(stopped.record!, {}, 600_000);
  t.match(removing, { record: { phase: 'removing' } });
  t.match(next(removing.record!, {}, 0), { order: 'remove' });
  t.same(next(removing.record!, { answer: APPLIED }), { record: null, order: null, told: 'removed: 600 s to call it back are over' });
});

t.test('ready at the look, though its time ran out since the last one: it serves', async (t) => {
  const late = { state: 'ready', ready: true } as const;
  t.match(next(inPhase('booting'), late, 4000, { readyWithinMs: 2000 }), { record: { phase: 'serving', failed: false } });
  t.match(next(inPhase('booting'), { state: 'launching' }, 2000, { readyWithinMs: 2000 }), { record: { phase: 'removing', failed: true } });
});

t.test('its host asks it until it serves, or until its time is over, and then the last answer is the reason', async (t) => {
  const booting = inPhase('booting');
  const probed = { probed: true };
  t.match(next(booting, {}, 1000, probed), { order: null }, 'not before it is seen there');
  const asked = next(booting, { state: 'launching' }, 1000, probed);
  t.match(asked, { order: 'probe', told: null });
  t.match(next(asked.record!, { state: 'launching', unreached: 'refused' }, 2000, probed), { order: null });
  t.match(next(asked.record!, { state: 'ready', unreached: 'refused' }, 6000, probed), { order: 'probe', record: { phase: 'booting' } });
  t.match(next(asked.record!, { state: 'ready', ready: true }, 7000, probed), { record: { phase: 'serving' } });
  const never = { record: { phase: 'removing', failed: true }, told: 'it was not ready within 300 s: 10.0.0.9:80 answers 503, not 200' };
  t.match(next(asked.record!, { state: 'ready', unreached: '10.0.0.9:80 answers 503, not 200' }, 300_000, probed), never);
});

t.test('what goes wrong while it is made ends in removal, with the reason', async (t) => {
  const fails = (record: SpawnRecord, seen: Partial<SpawnSeen>, afterMs: number, reason: RegExp): void => {
    t.match(next(record, seen, afterMs), { record: { phase: 'removing', failed: true, reason }, told: reason });
  };
  fails(
    RECORD,
    { answer: { outcome: 'failed', reason: 'pool templates has no volume called x' } },
    1000,
    /could not be made on kvm1: pool templates/,
  );
  fails(RECORD, { answer: { outcome: 'refused', reason: 'kill switch' } }, 1000, /could not be made on kvm1: kill switch/);
  fails(RECORD, { hostConnected: false, hostAwaySinceMs: START }, 120_000, /host kvm1 went away while it was being made/);
  fails(RECORD, {}, 300_000, /not made within 300 s/);
  fails(inPhase('booting'), {}, 300_000, /not ready within 300 s/);
  fails(inPhase('booting'), { state: 'error' }, 1000, /stopped before it was ready/);
  fails(inPhase('serving'), { state: 'stopped' }, 1000, /ended by itself/);
  fails(inPhase('serving'), { hostConnected: false, hostAwaySinceMs: START }, 120_000, /host kvm1 is gone/);
});

t.test('a host that is away for a moment, or does not know the VM yet, changes nothing', async (t) => {
  t.same(next(RECORD, { hostConnected: false, hostAwaySinceMs: START }, 60_000), { record: RECORD, order: null, told: null });
  const serving = inPhase('serving');
  t.same(next(serving, { hostConnected: false, hostAwaySinceMs: START, state: 'stopped' }, 60_000).record, serving);
  t.same(next(serving, { state: null }, 60_000).record, serving);
  t.same(next(serving, { state: 'unknown' }, 60_000).record, serving);
});

t.test('a guest that ignores the request to shut down: by force, or left, as the policy says', async (t) => {
  const stopping = inPhase('stopping', { sentAtMs: START });
  t.match(next(stopping, { state: 'ready' }, 89_000), { order: 'stop' });
  t.match(next(stopping, { state: 'ready' }, 90_000), { order: 'end' });
  t.match(next(stopping, { state: 'ready' }, 90_000, { ignores: 'leave' }), {
    record: { phase: 'serving' },
    told: /did not shut down within 90 s/,
  });
});

t.test(
  'made for the warm pool: it boots, is stopped without serving, kept while the pool wants it, and called back to serve',
  async (t) => {
    const spare = { spare: true };
    const stopping = next(inPhase('booting', spare), { state: 'ready', ready: true }, 20_000);
    t.match(stopping, { record: { phase: 'stopping' }, told: /ready 20 s after it was ordered; kept/ });
    t.match(next(inPhase('stopping', spare), { state: 'ready' }, 90_000, { ignores: 'leave' }), { order: 'end' }, 'nobody uses it');
    const stopped = inPhase('stopped', spare);
    t.same(next(stopped, { state: 'stopped' }, 1e9, { pooled: true }), { record: stopped, order: null, told: null });
    t.match(next(stopped, { state: 'stopped' }, 0), { record: { phase: 'removing', failed: false }, told: /keeps fewer/ });
    t.match(callBack(stopped, 'wanted', START), { phase: 'building', spare: false, warm: true });
  },
);

t.test('handed over: stopped and kept for ever, given back as it is; what Headroom made has no other owner', async (t) => {
  const handed = { handed: true };
  t.match(next(inPhase('building', handed), { answer: APPLIED }), { told: 'handed over on kvm1' });
  const stopped = inPhase('stopped', handed);
  t.same(next(stopped, { state: 'stopped' }, 1e9), { record: stopped, order: null, told: null });
  t.match(giveBack(inPhase('serving', handed), 'given back by ada', START), { phase: 'removing', failed: false });
  t.match(next(inPhase('removing', handed), { answer: APPLIED }), { record: null, told: /^given back: / });
  t.equal(giveBack(inPhase('serving'), '', START), null);
});

t.test('called back while it drains or is stopped, and not after', async (t) => {
  t.match(callBack(inPhase('draining'), 'wanted again', START), { phase: 'serving' });
  t.match(callBack(inPhase('stopped'), 'wanted again', START), { phase: 'building' });
  for (const phase of ['building', 'booting', 'serving', 'stopping', 'removing'] as const)
    t.equal(callBack(inPhase(phase), '', START), null);
});

t.test('one that never served goes at once', async (t) => {
  for (const phase of ['building', 'booting'] as const) t.equal(giveUp(inPhase(phase), 'not wanted', START).phase, 'removing');
});

t.test('whatever is seen: never ended by force early, never forgotten without its host saying so', async (t) => {
  const seen = fc.record({
    hostConnected: fc.boolean(),
    hostAwaySinceMs: fc.option(fc.constant(START)),
    state: fc.option(fc.constantFrom(...VM_STATES)),
    ready: fc.boolean(),
    unreached: fc.option(fc.constant('no address')),
    answer: fc.option(fc.record({ outcome: fc.constantFrom(...OUTCOMES), reason: fc.constant('why') })),
    drained: fc.boolean(),
  });
  const steps = fc.array(fc.tuple(seen, fc.integer({ min: 0, max: 200_000 })), { maxLength: 40 });
  fc.assert(
    fc.property(fc.constantFrom(...SPAWN_PHASES), fc.constantFrom('force' as const, 'leave' as const), steps, (phase, ignores, looks) => {
      let record: SpawnRecord = inPhase(phase);
      let nowMs = START;
      for (const [look, passMs] of looks) {
        nowMs += passMs;
        const after = nextOfSpawn(record, look, { ...TERMS, ignores }, nowMs);
        if (after.order !== null && !look.hostConnected) return false;
        if (after.order === 'end' && (ignores === 'leave' || record.phase !== 'stopping' || nowMs - record.sinceMs < TERMS.graceMs))
          return false;
        if (after.order === 'remove' && record.phase !== 'removing') return false;
        if (after.record === null) return record.phase === 'removing' && look.answer?.outcome === 'applied';
        if (record.phase === 'serving' && after.record.phase !== 'serving' && !after.record.failed) return false;
        record = after.record;
      }
      return true;
    }),
  );
  t.pass('held');
});

t.test(
  'for the warm pool: suspended instead of shut down, brought back instead of booted, and by shutting down and booting where that fails',
  async (t) => {
    const suspends = { suspends: true, pooled: true };
    const spare = next(inPhase('booting', { spare: true }), { state: 'ready', ready: true }, 1000, suspends).record!;
    t.match(spare, { phase: 'stopping', rest: 'suspending' });
    t.match(next(spare, { state: 'ready' }, 0, suspends), { order: 'suspend' });
    t.match(
      next(spare, { state: 'stopped' }, 5000, suspends),
      { record: { phase: 'stopping' }, order: 'suspend' },
      'that it stands says nothing',
    );
    const byLibvirt = { outcome: 'applied', reason: 'by libvirt' } as const;
    const kept = next(spare, { answer: byLibvirt }, 5000, suspends);
    t.match(kept, { record: { phase: 'stopped', rest: 'suspended' }, told: 'it is suspended; by libvirt' });
    t.equal(next(kept.record!, {}, 10 * 600_000, suspends).record!.phase, 'stopped', 'as long as the pool keeps it');
    const called = callBack(kept.record!, 'more are wanted', START)!;
    t.match(called, { phase: 'building', rest: 'suspended', warm: true, spare: false });
    t.match(next(called, {}, 0), { order: 'resume' });
    const back = next(called, { answer: APPLIED }, 1000);
    t.match(back, { record: { phase: 'booting' }, told: 'brought back on kvm1' });
    t.equal(back.record!.rest, undefined);
    t.match(next(back.record!, { state: 'ready', ready: true }), { record: { phase: 'serving' } });
    const refused = { outcome: 'failed', reason: 'chunk 7 is broken' } as const;
    const boots = next(called, { answer: refused }, 1000);
    t.match(boots, { record: { phase: 'building', failed: false }, told: 'it could not be brought back (chunk 7 is broken): it boots' });
    t.match(next(boots.record!, {}, 0), { order: 'build' });
    t.match(next(next(called, {}, 300_000).record!, {}, 0), { order: 'build' }, 'nor is it waited for without end');
    const shutDown = next(spare, { answer: { outcome: 'refused', reason: 'no room' } }, 1000, suspends);
    t.match(shutDown, { record: { phase: 'stopping' }, told: 'it could not be suspended (no room): it is shut down' });
    t.match(next(shutDown.record!, { state: 'ready' }, 0, suspends), { order: 'stop' });
    t.match(next(next(spare, {}, 300_000, suspends).record!, {}, 0, suspends), { order: 'stop' });
    const cannot = { cannotSuspend: 'host kvm1 suspends no VMs' };
    const drained = next(inPhase('draining'), { drained: true }, 1000, cannot);
    t.match(drained, { told: 'nothing uses it any more; host kvm1 suspends no VMs: it is shut down' });
    t.equal(drained.record!.rest, undefined);
  },
);
