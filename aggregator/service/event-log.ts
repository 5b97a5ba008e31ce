/** What happens, for people and programs that listen. Events in; the latest ones and a live feed out. Bounded: the oldest go first. */
import type { FleetEvent } from '../http/service.ts';

/** A stream that comes back with the last id it saw finds a day of a quiet fleet, an hour of a busy one. */
const EVENTS_MAX = 2000;

export class EventLog {
  #events: FleetEvent[] = [];
  #nextId = 1;
  readonly #listeners = new Set<(event: FleetEvent) => void>();
  /** Events no longer remembered. */
  forgotten = 0;

  add(timeMs: number, event: Omit<FleetEvent, 'id' | 'timeMs'>): void {
    const told: FleetEvent = { id: this.#nextId++, timeMs, ...event };
    this.#events.push(told);
    if (this.#events.length > EVENTS_MAX) {
      this.#events.shift();
      this.forgotten++;
    }
    for (const listener of this.#listeners) listener(told);
  }

  /** Newest last. */
  recent(limit: number): FleetEvent[] {
    return this.#events.slice(-limit);
  }

  subscribe(listener: (event: FleetEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
}
