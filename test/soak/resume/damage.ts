/**
 * Damage to a suspended VM's snapshot, one bit in each kind of file, on the disk under a running agent. Input: the stage, what the guest's
 * memory adds up to, a generator; output: how each was dealt with. Damage that can be mended brings the VM back as it was; more than that
 * is found before anything runs, the VM stays suspended, and its administrator can still boot it from its disk.
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { openLocalFiles } from '../../../agent/snapshot/local-files.ts';
import { readIndex } from '../../../agent/snapshot/pack.ts';
import { GROUP_BYTES, ROW_BYTES } from '../../../agent/snapshot/parity.ts';
import { openSnapshotStore } from '../../../agent/snapshot/snapshot-store.ts';
import { createTenantKeys } from '../../../agent/snapshot/tenant-keys.ts';
import type { Prng } from '../../../shared/prng.ts';
import { virsh } from '../../support/libvirtd.ts';
import { eventually } from '../../support/stack.ts';
import type { SuspendStage } from '../../support/suspend-stage.ts';
import { unharmed } from './road.ts';

const name = 'desktop';

function flip(path: string, byte: number, mask: number): void {
  const bytes = readFileSync(path);
  bytes[byte]! ^= mask;
  writeFileSync(path, bytes);
}

interface Place {
  path: string;
  offset: number;
  length: number;
  /** Bytes of records in its pack: their parity lies behind them. */
  total: number;
}

/** Where the snapshot's records lie: device state's first, then memory's. */
async function recordsOf(stage: SuspendStage): Promise<{ state: Place; memory: Place[] }> {
  const packs = join(stage.storeFolder, 'packs');
  const places = new Map<string, Place>();
  for (const pack of readdirSync(packs)) {
    const path = join(packs, pack);
    const bytes = readFileSync(path);
    const index = await readIndex(async (length) => (length > bytes.length ? null : bytes.subarray(-length)));
    const entries = index?.entries ?? [];
    const total = entries.reduce((sum, { length }) => sum + length, 0);
    for (const { digest, offset, length } of entries) places.set(digest, { path, offset, length, total });
  }
  const files = openLocalFiles(join(stage.storeFolder, '..'));
  const keys = openLocalFiles(join(stage.stack.stateDir, 'snapshot-keys'));
  try {
    const store = await openSnapshotStore(files, 'default', await createTenantKeys(keys).obtain('default'));
    const { snapshot } = (await stage.suspension())!;
    const { manifest } = await store.open(snapshot!);
    const placesOf = (entries: typeof manifest.memory): Place[] =>
      entries.flatMap((entry) => (entry.kind === 'whole' ? (places.get(entry.digest) ?? []) : []));
    return { state: placesOf(manifest.state)[0]!, memory: placesOf(manifest.memory) };
  } finally {
    await files.close();
    await keys.close();
  }
}

/** One in each group of rows at the most: two damaged stretches of one group are more than its parity can tell apart. */
function farApart(places: readonly Place[]): Place[] {
  const taken = new Set<string>();
  return places.filter(({ path, offset, length }) => {
    const groups = [offset, offset + length - 1].map((byte) => `${path} ${Math.floor(byte / GROUP_BYTES)}`);
    if (groups.some((group) => taken.has(group))) return false;
    for (const group of groups) taken.add(group);
    return true;
  });
}

export async function damage(stage: SuspendStage, sum: string, prng: Prng, tell: (words: string) => void) {
  const manifest = async (): Promise<string> => join(stage.storeFolder, 'manifests', `${(await stage.suspension())!.snapshot}.manifest`);
  const kinds: Record<string, () => Promise<void>> = {
    chunk: async () => {
      const { memory } = await recordsOf(stage);
      // The guest needs some of them, whichever they are.
      const some = farApart(memory.filter((_, index) => index % 64 === 0));
      for (const place of some) flip(place.path, at(place, prng), 1 << prng.below(8));
    },
    state: async () => {
      const { state } = await recordsOf(stage);
      flip(state.path, at(state, prng), 1 << prng.below(8));
    },
    manifest: async () => flip(await manifest(), prng.below(readFileSync(await manifest()).length), 1 << prng.below(8)),
  };
  for (const [kind, spoil] of Object.entries(kinds)) {
    await stage.order(`suspend ${name}`);
    await spoil();
    await stage.order(`resume ${name}`);
    await unharmed(stage, sum, `with a flipped bit in ${kind},`);
    if (!stage.stack.log('agent').includes('were mended as they were read')) throw new Error(`damage to ${kind} was not told`);
    await stage.order('snapshot gc');
    tell(`a flipped bit in ${kind}: mended, told, and gone with a collection`);
  }
  await lostBeyondMending(stage, prng);
  tell('more than can be mended: refused before anything ran; booted from its disk');
  return { mended: Object.keys(kinds) };
}

async function lostBeyondMending(stage: SuspendStage, prng: Prng): Promise<void> {
  const { libvirtd, guest } = stage;
  await stage.order(`suspend ${name}`);
  const { state } = await recordsOf(stage);
  const byte = at(state, prng);
  // A byte, and the byte of its group's parity that could mend it; a group may have no other row.
  const parity = state.total + Math.floor(byte / GROUP_BYTES) * ROW_BYTES + (byte % ROW_BYTES);
  for (const one of [byte, parity]) flip(state.path, one, 0xff);
  const words = await stage.refused(`resume ${name}`);
  if (!words.includes('is not what was written')) throw new Error(`a resume of a broken snapshot said: ${words}`);
  if ((await stage.suspension())?.phase !== 'suspended') throw new Error('it is not suspended any more');
  const power = virsh(libvirtd.socket, 'domstate', guest.name).trim();
  if (power !== 'shut off') throw new Error(`it is ${power} after a refused resume`);
  await stage.refused(`snapshot verify ${name}`);
  virsh(libvirtd.socket, 'start', guest.name);
  await eventually('its snapshot to be given up', async () => (await stage.suspension()) === undefined);
  if ((await guest.ask('req booted 1')) !== 'answer booted') throw new Error('it does not answer after it was booted');
}

const at = ({ offset, length }: Place, prng: Prng): number => offset + prng.below(length);
