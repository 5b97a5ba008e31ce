/**
 * Bytes read and written by this machine's whole disks (/proc/diskstats). Partitions and stacked or virtual devices (loop,
 * ram, zram, device mapper, RAID) are left out: their bytes are counted on the disk below them. Output: bytes/s.
 */
import { createRates } from '../core/rates.ts';
import { type Collector, noData, reading } from './collector.ts';
import type { KernelFiles } from './files.ts';

/** /proc/diskstats counts sectors of 512 bytes whatever the disk's own sector size is (kernel: admin-guide/iostats). */
const SECTOR_BYTES = 512;
const NOT_A_DISK = /^(loop|ram|zram|dm-|md|sr|fd|nbd)\d/;
/** Disks come and go rarely: the list below /sys/block is read again after so many samples. */
const LIST_EVERY_SAMPLES = 60;

export function createDisk(files: KernelFiles, role: 'guest' | 'host', gapMsMax: number): Collector {
  const [readField, writeField] =
    role === 'guest'
      ? ['vm_disk.guestReadBytesPerSecond', 'vm_disk.guestWriteBytesPerSecond']
      : ['host_disk.readBytesPerSecond', 'host_disk.writeBytesPerSecond'];
  const rates = createRates(['read', 'written'], { gapMsMax });
  let disks: ReadonlySet<string> = new Set();
  let samples = 0;
  return {
    name: 'disk',
    fields: [readField, writeField],
    required: [],
    update(nowMs) {
      const text = files.read('proc/diskstats');
      if (text === null) return noData('/proc/diskstats is not there');
      if (samples++ % LIST_EVERY_SAMPLES === 0) disks = new Set(files.list('sys/block') ?? []);
      const { read, written } = rates(sumOfDisks(text, disks), nowMs);
      return reading({ [readField]: read * SECTOR_BYTES, [writeField]: written * SECTOR_BYTES });
    },
  };
}

/** Sectors read and written, summed over whole disks; `disks` (what /sys/block lists) may be empty when it is not told. */
function sumOfDisks(text: string, disks: ReadonlySet<string>): { read: number; written: number } {
  let read = 0;
  let written = 0;
  let seen = 0;
  for (const line of text.split('\n')) {
    const columns = line.trim().split(/\s+/);
    const name = columns[2];
    if (name === undefined || NOT_A_DISK.test(name) || !disks.has(name)) continue;
    read += Number(columns[5]);
    written += Number(columns[9]);
    seen++;
  }
  return seen === 0 ? { read: Number.NaN, written: Number.NaN } : { read, written };
}
