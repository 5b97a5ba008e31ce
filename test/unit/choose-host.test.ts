/**
 * Goal: a new VM goes where there is room for it at the forecast peak, apart from its group, where its image is, to the tightest
 * fit; hosts that are barred get none, and when none fits each says why.
 */
import t from 'tap';
import { chooseHost, type HostRoom } from '../../aggregator/core/spawn/choose-host.ts';
import { hostId } from '../../shared/ids.ts';

const ASKED = { memoryMiB: 2048, cores: 2, membersPerHostMax: 3 };
const room = (name: string, change: Partial<HostRoom> = {}): HostRoom => ({
  host: hostId(name),
  barred: null,
  freeMemoryMiB: 8192,
  freeCores: 8,
  members: 0,
  ...change,
});
const chosen = (...hosts: HostRoom[]) => chooseHost(hosts, ASKED).host;

t.test('apart from its group first, then the tightest fit, then by name', async (t) => {
  t.equal(chosen(room('a', { members: 1 }), room('b')), 'b');
  t.equal(chosen(room('a'), room('b', { freeMemoryMiB: 4096 })), 'b');
  t.equal(chosen(room('b'), room('a')), 'a');
});

t.test('none where there is no room at the forecast peak, and each says why', async (t) => {
  const { host, reason } = chooseHost(
    [
      room('a', { freeMemoryMiB: 1000 }),
      room('b', { freeCores: 1.25 }),
      room('c', { members: 3 }),
      room('d', { barred: 'pool templates has no volume called debian.qcow2' }),
      room('e', { barred: 'it is not connected' }),
    ],
    ASKED,
  );
  t.equal(host, null);
  t.match(
    reason,
    /a: 1000 MiB are free, 2048 are needed; b: 1\.[23] cores are free at the forecast peak, 2\.0 are needed; c: it has 3 of the group/,
  );
  t.match(reason, /d: pool templates has no volume called debian.qcow2; e: it is not connected$/);
  t.match(chooseHost([], ASKED), { host: null, reason: 'no host is known' });
});
