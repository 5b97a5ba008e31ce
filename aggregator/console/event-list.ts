/** What happened, newest first. Input: events, perhaps of one guest only; output: a list kept up to date. */
import type { FleetEvent } from '../client/words.ts';
import { el, KeyedList, setText } from './dom.ts';
import { clock } from './format.ts';

const SHOWN_MAX = 40;
const KIND_NAMES: Readonly<Record<FleetEvent['kind'], string>> = {
  plan: 'plan',
  outcome: 'change',
  agent: 'agent',
  notification: 'notice',
  'vm-state': 'state',
  policy: 'policy',
  operator: 'operator',
};

export interface EventList {
  element: HTMLElement;
  update(events: readonly FleetEvent[]): void;
}

export function eventList(title: string, whyEmpty: string): EventList {
  const list = el('ol', { class: 'events' });
  const log = el('div', { class: 'events-log', role: 'log', 'aria-live': 'off', 'aria-label': title, tabindex: 0 }, list);
  const empty = el('p', { class: 'empty' }, whyEmpty);
  const items = new KeyedList<FleetEvent>(list, (event) => {
    const time = el('time', { datetime: new Date(event.timeMs).toISOString() });
    const kind = el('span', { class: `kind kind-${event.kind}` }, KIND_NAMES[event.kind] ?? event.kind);
    const message = el('span', { class: 'message' }, event.message);
    return {
      element: el('li', {}, time, kind, message),
      update: () => setText(time, clock(event.timeMs, Date.now())),
    };
  });
  return {
    element: el('section', { class: 'panel' }, el('h2', {}, title), log, empty),
    update(events) {
      items.show(events.slice(0, SHOWN_MAX), ({ timeMs, id }) => `${timeMs}/${id}`);
      empty.hidden = events.length > 0;
      log.hidden = events.length === 0;
    },
  };
}
