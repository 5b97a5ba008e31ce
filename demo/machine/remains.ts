/**
 * Is anything of a run left on the machine? Looks at domains, control groups, files and processes, and answers what it
 * finds in words; an empty list means that nothing is left outside the cache.
 */
import { existsSync, globSync, readdirSync, readFileSync } from 'node:fs';
import { NAME_PREFIX, ourDomains } from '../guests/guests.ts';
import { libvirtAnswers } from './daemons.ts';

/** Control groups carry the domain's name, with `-` escaped where systemd makes them. */
const GROUP = /headroom(-|\\x2d)demo(-|\\x2d)/;
/** Controllers' roots, then `machine`, then the domain; systemd's slices are one level deeper. */
const GROUP_DEPTH_MAX = 4;

function groupsBelow(directory: string, depth: number, found: string[]): string[] {
  let entries: { name: string; isDirectory(): boolean }[] = [];
  try {
    entries = readdirSync(directory, { withFileTypes: true });
  } catch {
    // A group that went away while we looked is not left.
  }
  for (const entry of entries) {
    if (!entry.isDirectory()) continue;
    const path = `${directory}/${entry.name}`;
    if (GROUP.test(entry.name)) found.push(path);
    else if (depth < GROUP_DEPTH_MAX) groupsBelow(path, depth + 1, found);
  }
  return found;
}

/** Processes whose command line names one of our guests or the run's directory, this one and its parents aside. */
function processesNaming(texts: readonly string[]): string[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .flatMap((id) => {
      try {
        const line = readFileSync(`/proc/${id}/cmdline`, 'utf8').replaceAll('\0', ' ').trim();
        return texts.some((text) => line.includes(text)) ? [`${id} (${line.slice(0, 80)})`] : [];
      } catch {
        return [];
      }
    });
}

/** What every run may leave: its directory, and processes that name it. */
export function remainsOfServices(runDirectory: string): string[] {
  const left = existsSync(runDirectory) ? [`directory ${runDirectory}`] : [];
  return [...left, ...processesNaming([runDirectory]).map((line) => `process ${line}`)];
}

/** What a real run may leave beside that. */
export async function remains(runDirectory: string): Promise<string[]> {
  const left = remainsOfServices(runDirectory);
  if (await libvirtAnswers()) for (const name of await ourDomains()) left.push(`domain ${name}`);
  for (const path of groupsBelow('/sys/fs/cgroup', 0, [])) left.push(`control group ${path}`);
  const places = ['/var/log/libvirt/qemu', '/etc/libvirt/qemu', '/run/libvirt/qemu'];
  for (const path of globSync(places.map((place) => `${place}/${NAME_PREFIX}*`))) left.push(`file ${path}`);
  for (const line of processesNaming([`guest=${NAME_PREFIX}`])) left.push(`process ${line}`);
  return left;
}
