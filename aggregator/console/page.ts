/** What every page of the console is. */
import { el, setText } from './dom.ts';
import type { FleetState } from './live.ts';

export interface Page {
  element: HTMLElement;
  update(state: FleetState): void;
  remove(): void;
}

/** Names the newest event: what it may have changed is asked for again. */
export function newest({ events }: FleetState): string {
  const [event] = events;
  return event === undefined ? '' : `${event.timeMs}/${event.id}`;
}

/** A line that says why there is nothing to see, or what kept it from being read. */
export function emptyLine(): { element: HTMLElement; say: (text: string | null) => void } {
  const element = el('p', { class: 'empty' }, 'Asking the aggregator…');
  return {
    element,
    say(text) {
      element.hidden = text === null;
      setText(element, text ?? '');
    },
  };
}

export const unreadable = (reason: string): string => `It could not be read: ${reason}. It is asked for again in a few seconds.`;
