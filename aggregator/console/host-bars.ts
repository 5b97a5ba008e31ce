/** Hosts as bars of capacity: in use, granted, the whole. Input: hosts; output: a list kept up to date. */
import type { Host } from '../client/words.ts';
import { el, KeyedList, setAttribute, setText } from './dom.ts';
import { capacity, plural, span } from './format.ts';

/** A connected agent sends each second. */
const STALE_MS = 15_000;
const MIB_PER_GIB = 1024;

export interface HostBars {
  element: HTMLElement;
  update(hosts: readonly Host[]): void;
}

interface Meter {
  element: HTMLElement;
  update(used: number | null, granted: number, whole: number): void;
}

function meter(name: string, unit: string, perUnit: number): Meter {
  const used = el('span', { class: 'meter-used' });
  const granted = el('span', { class: 'meter-granted' });
  const track = el('div', { class: 'meter', role: 'img' }, granted, used);
  const text = el('span', { class: 'meter-text' });
  const share = (value: number | null, whole: number): string => `${Math.min(100, Math.max(0, ((value ?? 0) / whole) * 100)).toFixed(1)}%`;
  const shown = (value: number | null): string => capacity(value === null ? null : value / perUnit);
  return {
    element: el('div', { class: 'meter-row' }, el('span', { class: 'meter-name' }, name), track, text),
    update(usedNow, grantedNow, whole) {
      used.style.width = share(usedNow, whole);
      granted.style.width = share(grantedNow, whole);
      const words = `${shown(usedNow)} used, ${shown(grantedNow)} granted, of ${shown(whole)} ${unit}`;
      setText(text, words);
      setAttribute(track, 'aria-label', `${name}: ${words}`);
    },
  };
}

function hostItem(): { element: HTMLElement; update: (host: Host) => void } {
  const name = el('h3');
  const state = el('p', { class: 'host-state' });
  const [cpu, memory] = [meter('CPU', 'cores', 1), meter('Memory', 'GiB', MIB_PER_GIB)];
  return {
    element: el('li', { class: 'host' }, el('div', { class: 'host-head' }, name, state), cpu.element, memory.element),
    update(host) {
      setText(name, host.id);
      const problems = problemsOf(host);
      setText(state, problems.length > 0 ? problems.join(' · ') : plural(host.vms, 'guest'));
      setAttribute(state, 'class', problems.length > 0 ? 'host-state warn' : 'host-state');
      cpu.update(host.usageCores, host.allocatedCores, host.cpuCores);
      memory.update(host.availableMiB === null ? null : host.memoryMiB - host.availableMiB, host.allocatedMiB, host.memoryMiB);
    },
  };
}

function problemsOf(host: Host): string[] {
  const problems: string[] = [];
  if (!host.connected) problems.push('agent not connected');
  if (host.ageMs === null) problems.push('no sample yet');
  else if (host.ageMs > STALE_MS) problems.push(`data ${span(host.ageMs)} old`);
  if (host.killSwitch) problems.push('kill switch engaged');
  if (host.swapping) problems.push('swapping: grow-only');
  if (host.balloonManager !== null) problems.push(`${host.balloonManager} manages balloons: memory is left alone`);
  return problems;
}

export function hostBars(): HostBars {
  const list = el('ul', { class: 'hosts' });
  const empty = el('p', { class: 'empty' });
  const key = el(
    'p',
    { class: 'key' },
    el('span', { class: 'swatch meter-key-used' }, 'used'),
    el('span', { class: 'swatch meter-key-granted' }, 'granted'),
  );
  const items = new KeyedList<Host>(list, hostItem);
  return {
    element: el(
      'section',
      { class: 'panel', 'aria-labelledby': 'hosts-title' },
      el('h2', { id: 'hosts-title' }, 'Hosts'),
      list,
      key,
      empty,
    ),
    update(hosts) {
      items.show(hosts, ({ id }) => id);
      key.hidden = hosts.length === 0;
      empty.hidden = hosts.length > 0;
      setText(
        empty,
        'No host agent has connected yet. A host appears here a few seconds after its agent starts with this aggregator’s address.',
      );
    },
  };
}
