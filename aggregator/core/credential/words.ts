/** A login in the words of the VM's owner: why it takes so long, and what is done about it. Causes and times in, sentences out. */
import type { Cause, LoginTimes, WaitedFor } from './delay.ts';

const SHORT_OF: Readonly<Record<WaitedFor, string>> = { memory: 'memory', cpu: 'CPU', io: 'disk I/O' };

/** `heard`: the guest has told of its work; before that nothing is known of what it lacks but what its host sees. */
export function delayWords(
  { totalMs, unaccountedMs }: LoginTimes,
  causes: readonly Cause[],
  doing: readonly string[],
  heard: boolean,
): string {
  const after = `after ${seconds(totalMs)}`;
  if (causes.length === 0 && !heard)
    return `delayed ${after}: the guest has not answered yet, so it is not known what it waits for; its host sees no lack of memory, CPU or disk I/O`;
  if (causes.length === 0)
    return `delayed ${after}: the guest was not short of memory, CPU or disk I/O as far as it is known; ${seconds(unaccountedMs)} are in no phase`;
  const why = causes.map(({ resource, share, seenBy }) => {
    const waited = share === null ? [] : [`something waited for it ${(share * 100).toFixed(0)} % of the time`];
    const told = [...waited, ...(seenBy === 'guest' ? [] : ['as its host sees it'])];
    return `${SHORT_OF[resource]} (${told.join(', ')})`;
  });
  const done = doing.length === 0 ? '' : `; ${doing.join('; ')}`;
  return `delayed ${after}: the guest is short of ${why.join(' and ')}${done}`;
}

export function phaseWords({ phases, unaccountedMs, totalMs }: LoginTimes): string {
  const parts = phases.map(({ name, ms }) => `${name} ${seconds(ms)}`);
  return `${seconds(totalMs)} in all: ${[...parts, `unaccounted ${seconds(unaccountedMs)}`].join(', ')}`;
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}
