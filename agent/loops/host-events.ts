/**
 * The hypervisor's events: what they change in the table. Input: events; output: looks at the VMs they are about, events
 * for the aggregator. `looked` runs after a look, since channels may have come or gone with it; `gaveBack` after one at a VM that
 * stopped, failed or was paused: what it held is somebody's at once, and not with the next round.
 */
import { errorText } from '../../shared/errors.ts';
import type { HypervisorEvent, PowerState } from '../hypervisor/hypervisor.ts';
import type { DiscoveryLoop } from './discover.ts';
import { type HostContext, tell } from './host-context.ts';
import { noteSeen, refreshSetting } from './settings.ts';
import { holdsMemory } from './vm-table.ts';

/** As hypervisors say it of a VM that left alive. */
const MIGRATED = /migrated away/;
const GIVES_BACK: ReadonlySet<PowerState> = new Set(['shutoff', 'crashed', 'paused']);

export interface AfterLook {
  looked(): void;
  gaveBack(): void;
}

export function handleEvent(context: HostContext, discovery: DiscoveryLoop, event: HypervisorEvent, after: AfterLook): void {
  const { looked } = after;
  const failed = (error: unknown): void => context.log.warn('could not follow an event', { event: event.kind, error: errorText(error) });
  const entry = 'id' in event ? context.table.get(event.id) : undefined;
  switch (event.kind) {
    case 'lifecycle': {
      if (entry?.managed) {
        const kind = MIGRATED.test(event.detail) ? 'migrated' : 'lifecycle';
        tell(context, kind, `${event.name} is ${event.power}${event.detail && ` (${event.detail})`}`, { vm: event.id });
      }
      // What is only defined, or somebody else's, gives nothing back.
      const gaveBack = entry?.managed === true && holdsMemory(entry.power) && entry.power !== event.power && GIVES_BACK.has(event.power);
      if (/reboot|reset/i.test(event.detail)) discovery.rebooted(event.id);
      discovery
        .one(event.id, event.name, event.power)
        .then(looked)
        .then(() => gaveBack && after.gaveBack())
        .catch(failed);
      return;
    }
    case 'defined':
    case 'channel':
      // A definition may change while the VM runs; of one not known yet the power is not known either.
      (entry ? discovery.again(entry.id) : discovery.all()).then(looked, failed);
      return;
    case 'undefined':
      discovery.all().then(looked, failed);
      return;
    case 'balloon':
      if (entry?.managed && !entry.writing.has('memory')) {
        noteSeen(context, entry, { resource: 'memory', memoryMiB: event.actualMiB })?.catch(failed);
      }
      return;
    case 'tunable':
      if (entry?.managed) void Promise.all([refreshSetting(context, entry, 'cpu'), refreshSetting(context, entry, 'disk')]);
      return;
    case 'connection':
      tell(context, 'hypervisor-connection', event.connected ? 'connected to the hypervisor' : `hypervisor lost: ${event.reason}`);
      context.changed();
      if (event.connected) discovery.all().then(looked, failed);
      return;
  }
}
