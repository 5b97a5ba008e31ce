/** The kernel's page size, from the auxiliary vector the kernel gave this process: Node offers no other way to learn it. */
import type { KernelFiles } from './files.ts';

/** Type of the auxiliary vector's page-size entry (elf.h). */
const AT_PAGESZ = 6n;
const PAGE_BYTES_USUAL = 4096;

/** Bytes a page; 4096 where the vector cannot be read (arm64 kernels may use 16 or 64 KiB). */
export function pageSizeBytes(files: KernelFiles): number {
  const vector = files.readBytes('proc/self/auxv');
  if (vector === null) return PAGE_BYTES_USUAL;
  for (let at = 0; at + 16 <= vector.length; at += 16) {
    if (vector.readBigUInt64LE(at) === AT_PAGESZ) return Number(vector.readBigUInt64LE(at + 8));
  }
  return PAGE_BYTES_USUAL;
}
