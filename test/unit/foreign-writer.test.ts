/**
 * Goal: a value someone else wrote is found, and nothing that we did, a balloon does on its way, or a reboot causes is
 * taken for it.
 */
import t from 'tap';
import { foreignHold, holdLeftMs } from '../../agent/core/foreign-hold.ts';
import { observe, type Watch, watchFailure, watchReadBack, watchReboot, watchWrite } from '../../agent/core/foreign-writer.ts';
import type { Setting } from '../../shared/resources.ts';

const OPTIONS = { restMs: 10_000, rebootRestMs: 180_000 };
const BOOT = 768;
const memory = (memoryMiB: number): Setting => ({ resource: 'memory', memoryMiB });
const cpu = (capCores: number | null, weight = 100): Setting => ({ resource: 'cpu', weight, capCores });

/** Feeds sizes at one a second (or the times given) and says at which one a foreign writer was found, -1 = never. */
function found(watch: Watch, sizes: number[], everyMs = 1000): number {
  let state = watch;
  for (const [index, size] of sizes.entries()) {
    const { watch: next, foreign } = observe(state, memory(size), BOOT, index * everyMs, OPTIONS);
    if (foreign) return index;
    state = next;
  }
  return -1;
}
/** Sent there before, and seen to be. */
const sent = (size: number): Watch => watchWrite(memory(size), memory(size), memory(size));
const rest = (size: number, seconds = 60): number[] => Array.from({ length: seconds }, () => size);

t.test('a write of memory that failed leaves the one before it under way', async (t) => {
  // Sent to 540; the word to stop at 599 was refused, or arrived and its answer was lost.
  const failed = watchFailure(watchWrite(memory(599), memory(599), null, sent(540)));
  t.match(failed, { target: memory(540), readBack: null });
  t.equal(found(failed, [599, 570, ...rest(540)]), -1, 'it goes on to where it was sent before');
  t.equal(found(failed, rest(599)), -1, 'or stops where this one sent it');
  t.not(found(failed, rest(700)), -1, 'anywhere else is somebody else');
  const whole = watchWrite(memory(599), memory(599), memory(599), sent(540));
  t.equal(watchFailure(whole), whole, 'what was read back is settled');
});

t.test('several writes of memory that failed: wherever one of them sent it', async (t) => {
  // Sent to 644, and the answer was lost; it arrived, and the next word was lost as well.
  const first = watchFailure(watchWrite(memory(691), memory(644), null, sent(691)));
  const second = watchFailure(watchWrite(memory(644), memory(655), null, first));
  t.equal(found(second, rest(644)), -1, 'where it was seen to be when the second was sent');
  t.equal(found(second, rest(655)), -1);
  t.not(found(second, rest(691)), -1, 'it had left there');
  // Nobody saw it in between.
  const unseen = watchFailure(watchWrite(memory(670), memory(655), null, first));
  for (const size of [691, 644, 655]) t.equal(found(unseen, rest(size)), -1, `${size}`);
  t.not(found(unseen, rest(720)), -1);
  let many = sent(400);
  for (let i = 1; i < 50; i++) many = watchFailure(watchWrite(memory(300), memory(400 + 10 * i), null, many));
  t.ok(many.formersMiB.length <= 5, 'not without an end');
});

t.test('a write of memory that failed and was carried out all the same: what moves the balloon later is somebody else', async (t) => {
  // Sent from 320 to 194, and the answer was lost.
  const failed = watchFailure(watchWrite(memory(320), memory(194), null, sent(320)));
  t.equal(found(failed, [300, 250, ...rest(194)]), -1);
  t.equal(found(failed, rest(320)), -1, 'it never left');
  t.ok(found(failed, [194, 250, ...rest(310)]) > 0, 'it had arrived');
  t.ok(found(failed, [300, 250, ...rest(207), ...rest(310)]) > 0, 'it had settled short of it');
  t.equal(found(failed, [300, 250, ...rest(207, 100)]), -1);
});

t.test('a write of memory that was refused long ago: who sends the balloon past where it would have gone is somebody else', async (t) => {
  // At 300, the word to go to 500 was refused, and it stayed.
  const refused = watchFailure(watchWrite(memory(300), memory(500), null, sent(300)));
  t.not(found(refused, [...rest(300), ...rest(560)]), -1, 'beyond it, and nearer to it than before');
  t.equal(found(refused, [...rest(300), 400, ...rest(500)]), -1, 'it was carried out after all');
});

t.test('a write of several values of which a part arrived', async (t) => {
  const foreign = (watch: Watch, seen: Setting) => observe(watch, seen, BOOT, 0, OPTIONS).foreign;
  const lost = watchWrite(cpu(0.9, 100), cpu(0.6, 200), null);
  for (const part of [cpu(0.9, 200), cpu(0.6, 100)]) t.equal(foreign(lost, part), null);
  t.same(foreign(lost, cpu(0.71, 100)), cpu(0.71, 100), 'no part of it');
  t.same(foreign(watchReadBack(lost, cpu(0.6, 200)), cpu(0.9, 200)), cpu(0.9, 200), 'all of it was seen to arrive');
  const links = (inboundBytesPerSecond: number | null): Setting => ({
    resource: 'network',
    inboundBytesPerSecond,
    outboundBytesPerSecond: null,
  });
  const shared = watchWrite(links(4_000_000), links(2_000_000), null);
  t.equal(foreign(shared, links(3_000_000)), null, 'one of two interfaces');
  for (const other of [links(5_000_000), links(null)]) t.same(foreign(shared, other), other);
  const disks = (iops: number | null): Setting => ({ resource: 'disk', bytesPerSecond: null, iops });
  const freed = watchWrite(disks(500), disks(null), null);
  for (const part of [disks(500), disks(null)]) t.equal(foreign(freed, part), null);
  const slowed = watchWrite(disks(500), disks(200), null);
  t.equal(foreign(slowed, disks(350)), null);
  for (const other of [disks(5000), disks(100)]) t.same(foreign(slowed, other), other, 'requests are not counted in bytes');
});

t.test('exact values', async (t) => {
  const watch = watchWrite(cpu(null), cpu(0.5), cpu(0.5));
  t.equal(observe(watch, cpu(0.5), BOOT, 0, OPTIONS).foreign, null);
  t.same(observe(watch, cpu(1), BOOT, 0, OPTIONS).foreign, cpu(1));
  t.same(observe(watch, cpu(0.5, 200), BOOT, 0, OPTIONS).foreign, cpu(0.5, 200));
  t.equal(
    observe(watchWrite(cpu(null), cpu(0.5004), cpu(0.5)), cpu(0.5), BOOT, 0, OPTIONS).foreign,
    null,
    "the hypervisor's rounding is ours",
  );
  t.equal(
    observe(watchWrite(cpu(null), cpu(0.5), null), cpu(0.5), BOOT, 0, OPTIONS).foreign,
    null,
    'a write whose end was not seen is ours',
  );
  t.equal(observe(watchWrite(cpu(null), cpu(0.5), null), cpu(null), BOOT, 0, OPTIONS).foreign, null, 'and so is what it failed to change');
  t.same(observe(watchWrite(cpu(null), cpu(0.5), null), cpu(2), BOOT, 0, OPTIONS).foreign, cpu(2));
});

t.test('a balloon of our own', async (t) => {
  const shrink = watchWrite(memory(768), memory(400), memory(700));
  t.equal(found(shrink, [680, 600, 520, 440, 400, ...rest(400)]), -1, 'moves to its target');
  t.equal(found(shrink, [680, 600, 520, ...rest(455)]), -1, 'settles short of it');
  t.equal(found(shrink, [680, 682, 679, ...rest(680)]), -1, 'hardly moves at all');
  const grow = watchWrite(memory(400), memory(600), memory(400));
  t.equal(found(grow, [...rest(400, 5), 450, 500, 600, ...rest(600)]), -1);
  t.equal(found(shrink, [440, 400, 768, 768, 768, 700, 600, 400, ...rest(400)]), -1, 'a reboot, and back');
  t.equal(found(watchReboot(watchWrite(memory(768), memory(400), memory(400)), BOOT), rest(768, 300)), -1, 'a reboot we were told of');
  const short = observe(watchWrite(memory(400), memory(600), memory(400)), memory(560), BOOT, 0, OPTIONS).watch;
  const rebooted = watchReboot(watchReboot(short, BOOT), BOOT);
  t.equal(found(rebooted, [768, 700, ...rest(560)]), -1, 'back where it had settled short of its target, also after two reboots');
  t.not(found(rebooted, [768, 700, ...rest(520)]), -1);
  const back = watchReboot(sent(600), BOOT);
  t.not(found(back, [768, 700, ...rest(600), ...rest(616)]), -1, 'back at its target, somebody else sends it on');
});

t.test('a balloon seen while its write is still carried out', async (t) => {
  const after = (watch: Watch, sizes: number[]): Watch =>
    sizes.reduce((state, size, second) => observe(state, memory(size), BOOT, second * 1000, OPTIONS).watch, watch);
  // It was inflating to 400 when it was called back: its driver goes on for a moment.
  const reversal = after(watchWrite(memory(500), memory(600), null, sent(400)), [480, 470]);
  t.equal(reversal.suspect, null, 'that is where the write before sent it');
  const called = watchReadBack(reversal, memory(470));
  t.equal(found(called, [470, 500, ...rest(600)]), -1, 'from there it turns round');
  // Sent from where it rested, nothing draws it back.
  const shrink = after(watchWrite(memory(700), memory(400), null, sent(700)), [600, 500, 640]);
  t.match(shrink.suspect, { memoryMiB: 640 }, 'somebody else may be at it');
  t.ok(found(watchReadBack(shrink, memory(640)), rest(640)) > 0, 'and was');
});

t.test("someone else's balloon", async (t) => {
  const settled = watchWrite(memory(768), memory(400), memory(400));
  const index = found(settled, [400, 450, 500, 550, ...rest(600)]);
  t.ok(index >= 10 && index <= 16, `found after it rested for 10 s: at ${index}`);
  t.ok(found(settled, [400, 380, 350, ...rest(300)]) > 0, 'further the same way');
  t.ok(found(watchWrite(memory(400), memory(600), memory(600)), rest(640)) > 0, 'beyond the target');
  t.equal(found(settled, [450, 500, 550, 600, 650, 700]), -1, 'not while it still moves');
  const boot = found(settled, rest(768, 400));
  t.ok(boot >= 180, 'boot size is given time to be a reboot');
  t.ok(found(settled, [600, 600], 20_000) === 1, 'slow readings count by time, not by number');
});

t.test("someone else's balloon, and a reboot before it had rested", (t) => {
  const left = (sizes: number[]): Watch => {
    let state = sent(400);
    for (const [i, size] of sizes.entries()) state = observe(state, memory(size), BOOT, i * 1000, OPTIONS).watch;
    return watchReboot(state, BOOT);
  };
  const strayed = left([400, 410, 416, 416]);
  t.not(found(strayed, [768, 500, ...rest(416)]), -1, 'after the reboot it goes where somebody had sent it');
  t.equal(found(strayed, [768, 500, 416, ...rest(400)]), -1, 'it only came by on its way to the target');
  t.equal(found(strayed, [768, 500, 400, ...rest(412, 5), ...rest(400)]), -1);
  t.equal(found(strayed, [768, 500, ...rest(440)]), -1, 'a guest that has begun anew may not get as far');
  t.not(found(watchReboot(strayed, BOOT), [768, 500, ...rest(416)]), -1, 'also after two reboots');
  t.equal(found(left([400, 768, 768]), [768, 500, ...rest(400)]), -1, 'the reboot was seen before it was told');
  t.equal(found(left([400, 768, 768]), rest(768, 300)), -1, 'and its driver does not load');
  t.equal(found(left([400, 400]), [768, 500, ...rest(416)]), -1, 'nobody had moved it');
  t.end();
});

t.test('holds: a day, and for good after the second time', async (t) => {
  const since = { wallMs: 1000, bootMs: 10 };
  const day = foreignHold(cpu(1), 1, since, 86_400_000);
  t.equal(holdLeftMs(day, { wallMs: 2000, bootMs: 1010 }), 86_399_000);
  const forGood = foreignHold(cpu(1), 2, since, 86_400_000);
  t.equal(holdLeftMs(forGood, { wallMs: 1e15, bootMs: 1e15 }), null);
  t.match(forGood.reason, /until lifted/);
});
