/**
 * A virtio-serial port without a VM: a pseudo terminal in raw mode is the guest's character device, a Unix socket the host's
 * end, as QEMU would offer it. Output: the paths of both. Needs perl (in every Debian), since Node cannot unlock a terminal.
 */
import { spawnSync } from 'node:child_process';
import { close, closeSync, openSync, read, write } from 'node:fs';
import { createServer, type Socket } from 'node:net';

export interface PseudoPort {
  /** /dev/pts/N */
  device: string;
  close(): Promise<void>;
}

/** TIOCSPTLCK with 0 unlocks the other end, TIOCGPTN tells its number (ioctl_tty(2)). */
const UNLOCK =
  'my $n = pack("i", 0); ioctl(STDIN, 0x40045431, $n) or die $!; ioctl(STDIN, 0x80045430, $n) or die $!; print unpack("i", $n)';
const CHUNK_BYTES = 64 * 1024;

function run(program: string, args: string[], stdin: number | 'ignore'): string {
  const done = spawnSync(program, args, { stdio: [stdin, 'pipe', 'pipe'], encoding: 'utf8' });
  if (done.error || done.status !== 0) throw new Error(`${program} failed: ${done.error?.message ?? done.stderr.trim()}`);
  return done.stdout.trim();
}

export async function openPseudoPort(socketPath: string): Promise<PseudoPort> {
  const master = openSync('/dev/ptmx', 'r+');
  const device = `/dev/pts/${run('perl', ['-e', UNLOCK], master)}`;
  run('stty', ['-F', device, 'raw', '-echo'], 'ignore');
  // Held open, so that the terminal outlives a guest agent that comes and goes; writing there wakes the last read.
  const slave = openSync(device, 'r+');
  let host: Socket | undefined;
  let closed = false;

  const server = createServer((socket) => {
    host = socket;
    socket.on('error', () => undefined);
    socket.on('data', (bytes: Buffer) => toGuest(bytes));
  });
  let turn: Promise<void> = Promise.resolve();
  const toGuest = (bytes: Buffer): void => {
    turn = turn.then(() => writeAll(master, bytes));
  };
  const pull = (): void => {
    const chunk = Buffer.allocUnsafe(CHUNK_BYTES);
    read(master, chunk, 0, chunk.length, null, (error, got) => {
      if (closed) return close(master, () => undefined);
      if (error) throw error;
      host?.write(chunk.subarray(0, got));
      pull();
    });
  };
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(socketPath, resolve));
  pull();
  return {
    device,
    async close() {
      closed = true;
      host?.destroy();
      await new Promise<void>((resolve) => server.close(() => resolve()));
      await turn;
      await writeAll(slave, Buffer.from('\n'));
      closeSync(slave);
    },
  };
}

async function writeAll(fd: number, bytes: Buffer): Promise<void> {
  for (let at = 0; at < bytes.length; ) {
    at += await new Promise<number>((resolve, reject) => {
      write(fd, bytes, at, bytes.length - at, null, (error, written) => (error ? reject(error) : resolve(written)));
    });
  }
}
