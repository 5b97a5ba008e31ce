/**
 * The real agent as a process of its own, and an aggregator's end on loopback that writes down what it hears. Input: role
 * arguments; output: handles to wait for frames, send some, kill and wait. For integration tests.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { createWriteStream } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { systemClock } from '../../shared/clock.ts';
import { Session } from '../../shared/net/session.ts';
import { serveWebSocket } from '../../shared/net/websocket.ts';
import { FRAME_BYTES_MAX, type Frame, type FrameOf, type FrameType } from '../../shared/protocol/frames.ts';
import type { TelemetryBlock } from '../../shared/telemetry.ts';

const MAIN = join(dirname(fileURLToPath(import.meta.url)), '../../agent/main.ts');
const ARGUMENTS = ['--disable-warning=ExperimentalWarning', MAIN];

export interface AggregatorEnd {
  readonly url: string;
  readonly frames: Frame[];
  readonly blocks: TelemetryBlock[];
  send(frame: Frame): void;
  of<T extends FrameType>(type: T): FrameOf<T>[];
  /** The newest state of a VM as inventories told it. */
  inventory(vm: string): FrameOf<'inventory'>['vms'][number] | undefined;
  /** Waits until `condition` gives something; fails naming `what` after `timeoutMs`. */
  until<T>(what: string, condition: () => T | undefined | false | null, timeoutMs?: number): Promise<T>;
  close(): Promise<void>;
}

export async function aggregatorEnd(): Promise<AggregatorEnd> {
  const frames: Frame[] = [];
  const blocks: TelemetryBlock[] = [];
  let session: Session | undefined;
  const heard = (from: Session, frame: Frame): void => {
    frames.push(frame);
    if (frame.type === 'hello') {
      const welcome = {
        version: 1,
        connectionId: 'x',
        epoch: 5,
        heartbeatMs: 5000,
        window: 8,
        backlogRowsPerSecond: 1000,
        wallMs: Date.now(),
      };
      from.send({ type: 'welcome', ...welcome });
      from.established(5000);
    }
    if (frame.type === 'telemetry') {
      blocks.push(...from.decodeBlocks(frame));
      const { bootId } = of('hello').at(-1)!;
      from.send({ type: 'ack', bootId, lane: frame.lane, fromSeq: frame.seq, toSeq: frame.seq });
    }
  };
  const server = await serveWebSocket({ host: '127.0.0.1', port: 0, maxBytes: FRAME_BYTES_MAX }, (transport) => {
    const made: Session = new Session({
      transport,
      clock: systemClock,
      receiver: 'aggregator',
      onFrame: (frame) => heard(made, frame),
      onClose: () => {},
    });
    session = made;
  });
  const of = <T extends FrameType>(type: T): FrameOf<T>[] => frames.filter((frame) => frame.type === type) as unknown as FrameOf<T>[];
  return {
    url: server.url,
    frames,
    blocks,
    of,
    send: (frame) => void session?.send(frame),
    inventory: (vm) =>
      of('inventory')
        .flatMap(({ vms }) => vms)
        .findLast((one) => one.vm === vm),
    async until(what, condition, timeoutMs = 60_000) {
      for (const endMs = Date.now() + timeoutMs; ; ) {
        const value = condition();
        if (value !== undefined && value !== false && value !== null) return value;
        if (Date.now() > endMs) throw new Error(`gave up after ${timeoutMs} ms waiting for ${what}`);
        await new Promise((resolve) => setTimeout(resolve, 250));
      }
    },
    close: () => server.close(),
  };
}

export interface AgentProcess {
  readonly process: ChildProcess;
  /** Ends it and waits; SIGKILL is kill -9. Resolves with the exit code, null when a signal ended it. */
  end(signal: NodeJS.Signals): Promise<number | null>;
}

/** Starts a long-running role; its log goes to `logFile`. */
export function startAgent(args: readonly string[], logFile: string): AgentProcess {
  const child = spawn(process.execPath, [...ARGUMENTS, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  const log = createWriteStream(logFile, { flags: 'a' });
  child.stdout.pipe(log, { end: false });
  child.stderr.pipe(log, { end: false });
  const ended = new Promise<number | null>((resolve) => child.once('exit', (code) => resolve(code)));
  return {
    process: child,
    end(signal) {
      child.kill(signal);
      return ended;
    },
  };
}

/** Runs a one-shot command. */
export function runAgent(args: readonly string[]): { code: number | null; stdout: string; stderr: string } {
  const done = spawnSync(process.execPath, [...ARGUMENTS, ...args], { encoding: 'utf8', timeout: 120_000 });
  return { code: done.status, stdout: done.stdout, stderr: done.stderr };
}
