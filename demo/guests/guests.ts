/**
 * The demo's guests under libvirt: makes them, names what is in the way, removes them. A domain is ours only if it carries
 * both the demo's name prefix and the demo's metadata; nothing else is ever touched.
 */
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { allDomains, runningDomains, tryVirsh, virsh } from '../machine/virsh.ts';
import { DEMO_NAMESPACE, domainXml, type GuestDefinition } from './domain-xml.ts';

export const NAME_PREFIX = 'headroom-demo-';
/** libvirt keeps one log per domain name and never removes it. */
const LOG_DIRECTORY = '/var/log/libvirt/qemu';

async function isOurs(name: string): Promise<boolean> {
  if (!name.startsWith(NAME_PREFIX)) return false;
  const { status } = await tryVirsh('metadata', name, DEMO_NAMESPACE);
  return status === 0;
}

/** Running domains that no demo made. */
export async function foreignDomains(): Promise<string[]> {
  const foreign: string[] = [];
  for (const name of await runningDomains()) if (!(await isOurs(name))) foreign.push(name);
  return foreign;
}

/** Domains of demo runs, running or only defined. */
export async function ourDomains(): Promise<string[]> {
  const ours: string[] = [];
  for (const name of await allDomains()) if (await isOurs(name)) ours.push(name);
  return ours;
}

/** Persistent, so that each guest has a definition that Headroom must leave as it is. */
export async function startGuest(guest: GuestDefinition, runDirectory: string): Promise<void> {
  const file = join(runDirectory, `${guest.name}.xml`);
  writeFileSync(file, domainXml(guest));
  await virsh('define', file);
  await virsh('start', guest.name);
}

export async function removeGuest(name: string): Promise<void> {
  await tryVirsh('destroy', name);
  await tryVirsh('undefine', name);
  rmSync(join(LOG_DIRECTORY, `${name}.log`), { force: true });
}

/** Removes every domain of a demo run; answers their names. */
export async function removeGuests(): Promise<string[]> {
  const removed = await ourDomains();
  for (const name of removed) await removeGuest(name);
  return removed;
}
