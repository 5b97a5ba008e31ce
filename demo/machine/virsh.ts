/**
 * libvirt's own command line, used by the demo to make and remove its guests and to check from outside what Headroom
 * claims. Headroom itself never uses it.
 */
import { type CommandResult, runChecked, runCommand } from './run-command.ts';

export const LIBVIRT_URI = 'qemu:///system';

const withUri = (args: readonly string[]): string[] => ['-q', '-c', LIBVIRT_URI, ...args];
const environment = (): NodeJS.ProcessEnv => ({ ...process.env, LC_ALL: 'C' });

export function virsh(...args: string[]): Promise<string> {
  return runChecked('virsh', withUri(args), { env: environment() });
}

/** For questions whose answer may be "no such thing". */
export function tryVirsh(...args: string[]): Promise<CommandResult> {
  return runCommand('virsh', withUri(args), { env: environment() });
}

const names = (listing: string): string[] =>
  listing
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '');

export async function runningDomains(): Promise<string[]> {
  return names(await virsh('list', '--name'));
}

export async function allDomains(): Promise<string[]> {
  return names(await virsh('list', '--all', '--name'));
}
