/**
 * Goal: two hosts that do not see each other's disks, real guest, real agents: a VM suspended on one is brought back on the other with what it
 * wrote to its disk, and back with what it wrote there, for which only that travels; nobody's image is written to by two, or lost.
 */
import t from 'tap';
import { ownDisks } from '../support/own-disks.ts';

t.setTimeout(180_000);

t.test('there and back', async (t) => {
  const { there, back } = await ownDisks(96, (words) => t.comment(words), { whole: false });
  t.ok(there.movedMiB > 12, `${there.movedMiB} MiB came along`);
  // Two of three files of 4 MiB stay away; memory travels either way, once a little more than the other time.
  t.ok(back.movedMiB < there.movedMiB - 4, `${back.movedMiB} MiB went back, of ${there.movedMiB}`);
});
