/**
 * A copy of a demo guest's root disk whose guest obeys: each line on the virtio-serial channel `headroom.test` is run by its shell, what
 * that says comes back, and a last line `done STATUS`. Nothing else of the guest is changed, so that what its users do can be tried in
 * it. Input: the disk, where the copy goes; output: XML of the channel, and a handle to a running guest.
 */
import { copyFileSync, writeFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { runChecked } from '../../demo/machine/run-command.ts';

const PORT = '/dev/virtio-ports/headroom.test';
/** A second reader would take lines from the first: one shell reads, writes, and waits for its host. */
const OBEYS = `(exec 3<>${PORT}; while :; do
  while read -r line <&3; do sh -c "$line" >&3 2>&1 3>&-; echo "done $?" >&3; done; sleep 0.2
done) &
`;
/** Orders follow this, once the channel is there. */
const BEFORE = 'while :; do wait; sleep 1; done';

/** Resolves with the path of the copy, in `folder`. */
export async function obedientDisk(disk: string, folder: string): Promise<string> {
  const copy = join(folder, 'root.ext4');
  copyFileSync(disk, copy);
  const init = await runChecked('debugfs', ['-R', 'cat /init', copy]);
  if (!init.includes(BEFORE)) throw new Error(`the init of ${disk} has no line "${BEFORE}"`);
  const script = join(folder, 'init');
  writeFileSync(script, init.replace(BEFORE, `${OBEYS}${BEFORE}`), { mode: 0o755 });
  const commands = join(folder, 'debugfs');
  writeFileSync(commands, `rm /init\nwrite ${script} /init\nset_inode_field /init mode 0100755\n`);
  await runChecked('debugfs', ['-w', '-f', commands, copy]);
  return copy;
}

const socketOf = (folder: string): string => join(folder, 'orders.sock');
export const ordersChannel = (folder: string): string =>
  `<channel type="unix"><source mode="bind" path="${socketOf(folder)}"/><target type="virtio" name="headroom.test"/></channel>`;

export interface ObedientGuest {
  /** What the command said; rejects when it fails, or does not end in time. */
  run(command: string, timeoutMs?: number): Promise<string>;
  close(): void;
}

export async function obedientGuest(folder: string): Promise<ObedientGuest> {
  const socket = await new Promise<Socket>((resolve, reject) => {
    const opened = connect(socketOf(folder), () => resolve(opened));
    opened.once('error', reject);
  });
  let said = '';
  let heard = (): void => undefined;
  socket.on('data', (chunk: Buffer) => {
    said += chunk.toString();
    heard();
  });
  socket.on('error', () => undefined);
  return {
    run(command, timeoutMs = 60_000) {
      said = '';
      socket.write(`${command}\n`);
      return new Promise((resolve, reject) => {
        const late = setTimeout(() => reject(new Error(`"${command}" has not ended within ${timeoutMs} ms: ${said}`)), timeoutMs);
        heard = () => {
          const end = /(?:^|\n)done (\d+)\r?\n$/.exec(said);
          if (end === null) return;
          clearTimeout(late);
          heard = () => undefined;
          const text = said.slice(0, end.index);
          if (end[1] === '0') resolve(text);
          else reject(new Error(`"${command}" ended with ${end[1]}: ${text}`));
        };
      });
    },
    close: () => socket.destroy(),
  };
}
