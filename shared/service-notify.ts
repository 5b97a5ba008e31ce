/**
 * Tells the service manager how the service is: ready, stopping, still alive. systemd listens on a datagram socket that Node
 * cannot speak to, so the launcher opens a pipe and passes each line on with `systemd-notify`. A container's health is asked by
 * a command, which looks at a file. Input: the environment; output: lines on that pipe, this process's number in that file. Without either
 * nothing is written.
 */
import { writeFileSync, writeSync } from 'node:fs';
import { errorText } from './errors.ts';

export interface ServiceNotifier {
  /** The service does its work: called once. From here on the event loop's pulse is told, until it stops. */
  ready(): void;
  stopping(): void;
}

/** systemd asks for a sign of life within its period; a third of it leaves room for a busy loop. */
const PULSES_PER_PERIOD = 3;
/** Of the file: a health check that allows three of them tells a hang within half a minute. */
const PULSE_FILE_MS = 10_000;

type Environment = Readonly<Record<string, string | undefined>>;

/** `write`: for tests. A pipe that broke is a launcher's helper that died: the manager misses the pulse and starts anew. */
export function serviceNotifier(environment: Environment, write: (fd: number, line: string) => unknown = writeSync): ServiceNotifier {
  const fd = Number(environment.HEADROOM_NOTIFY_FD ?? Number.NaN);
  const periodMs = Number(environment.WATCHDOG_USEC ?? Number.NaN) / 1000;
  const say = (line: string): void => {
    if (!Number.isInteger(fd)) return;
    try {
      write(fd, `${line}\n`);
    } catch {
      // Nobody reads: see above.
    }
  };
  return {
    ready() {
      say('READY=1');
      if (environment.HEADROOM_PULSE_FILE !== undefined) beat(environment.HEADROOM_PULSE_FILE);
      if (periodMs > 0) setInterval(() => say('WATCHDOG=1'), periodMs / PULSES_PER_PERIOD).unref();
    },
    stopping: () => say('STOPPING=1'),
  };
}

function beat(file: string): void {
  let told = false;
  const write = (): void => {
    try {
      writeFileSync(file, `${process.pid}\n`);
    } catch (error) {
      // A pulse that cannot be written is one that is missed; whoever then wonders should find out why.
      if (!told) process.emitWarning(`no pulse can be written: ${errorText(error)}`);
      told = true;
    }
  };
  write();
  setInterval(write, PULSE_FILE_MS).unref();
}
