/**
 * Goal: two hosts that do not see each other's disks, real guest, real agents: a VM suspended on one is brought back on the other with what it
 * wrote to its disk, and back with what it wrote there; nobody's image is written to by two, or lost. How little of a disk is read and
 * travels the second time is tried where no memory travels beside it (test/integration/disk-capture.test.ts).
 */
import t from 'tap';
import { ownDisks } from '../support/own-disks.ts';

t.setTimeout(180_000);

t.test('there and back', async (t) => {
  const { there } = await ownDisks(96, (words) => t.comment(words), { whole: false });
  t.ok(there.movedMiB > 12, `${there.movedMiB} MiB came along`);
});
