/**
 * Writes a cpio archive of the "newc" kind, the form in which a Linux kernel takes its first file system. Input: entries in
 * order (parents first); output: the archive's bytes. Format: Linux Documentation/driver-api/early-userspace/buffer-format.
 */
export interface CpioEntry {
  /** Path without a leading slash. */
  path: string;
  /** File type and permissions as in stat(2)'s st_mode. */
  mode: number;
  content?: Uint8Array;
}

export const MODE_DIRECTORY = 0o040755;
export const MODE_PROGRAM = 0o100755;
export const MODE_FILE = 0o100644;
export const MODE_LINK = 0o120777;

const hex = (value: number): string => value.toString(16).padStart(8, '0');
const padding = (length: number): Buffer => Buffer.alloc((4 - (length % 4)) % 4);

export function cpioArchive(entries: readonly CpioEntry[]): Buffer {
  const parts: Buffer[] = [];
  const all = [...entries, { path: 'TRAILER!!!', mode: 0 }];
  for (const [index, entry] of all.entries()) {
    const content = Buffer.from(entry.content ?? new Uint8Array());
    const name = Buffer.from(`${entry.path}\0`);
    const links = entry.mode === MODE_DIRECTORY ? 2 : 1;
    // Magic, then thirteen fields of eight hexadecimal digits: owner, times, devices and checksum are all zero here.
    const fields = [index + 1, entry.mode, 0, 0, links, 0, content.length, 0, 0, 0, 0, name.length, 0];
    const header = Buffer.from(`070701${fields.map(hex).join('')}`);
    parts.push(header, name, padding(header.length + name.length), content, padding(content.length));
  }
  return Buffer.concat(parts);
}
