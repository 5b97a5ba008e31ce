/**
 * Goal: two hosts that do not see each other's disks, real guest, real agents: a VM runs on the other host before its disk has come there; with
 * the wire cut amid that it stands still, with a reason; with the agent killed, too, it goes on once both are back, and its image then
 * stands alone. There, back and ended amid it: `npm run soak -- resume --hosts 2 --disks 1 --lazily 1`.
 */
import t from 'tap';
import { lazyDisks } from '../support/lazy-disks.ts';

t.setTimeout(180_000);

t.test('before its disk has come', async (t) => {
  const { there } = await lazyDisks(96, (words) => t.comment(words), { whole: false });
  t.ok(there.leftMiB > 0, `${there.movedMiB} MiB had moved when it ran, ${there.leftMiB} MiB were to come when the wire was cut`);
});
