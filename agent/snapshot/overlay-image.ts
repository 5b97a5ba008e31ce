/**
 * An empty qcow2 image, as bytes: what a guest writes goes into it. Pure. A program that makes one takes as long to start as all else
 * that showing memory needs. Input: the size it shows; output: the file. Layout from the format's published description: header,
 * table of reference counts, one block of these (it covers the first 2 GiB of the file; QEMU adds others), table of tables.
 */
const CLUSTER_BITS = 16;
const CLUSTER_BYTES = 2 ** CLUSTER_BITS;
const ENTRY_BYTES = 8;
/** Of the image, by one table that says where clusters lie. */
const TABLE_COVERS_BYTES = (CLUSTER_BYTES / ENTRY_BYTES) * CLUSTER_BYTES;
const MAGIC = 0x514649fb;
const VERSION = 3;
const HEADER_BYTES = 104;
/** Bits of a reference count, as a power of two. */
const COUNT_ORDER = 4;
const COUNT_BYTES = 2;
const AT = { counts: CLUSTER_BYTES, countBlock: 2 * CLUSTER_BYTES, tables: 3 * CLUSTER_BYTES } as const;

export function emptyOverlay(bytes: number): Buffer {
  const tables = Math.ceil(bytes / TABLE_COVERS_BYTES);
  const tableClusters = Math.ceil((tables * ENTRY_BYTES) / CLUSTER_BYTES);
  const image = Buffer.alloc(AT.tables + tableClusters * CLUSTER_BYTES);
  image.writeUInt32BE(MAGIC, 0);
  image.writeUInt32BE(VERSION, 4);
  image.writeUInt32BE(CLUSTER_BITS, 20);
  image.writeBigUInt64BE(BigInt(bytes), 24);
  image.writeUInt32BE(tables, 36);
  image.writeBigUInt64BE(BigInt(AT.tables), 40);
  image.writeBigUInt64BE(BigInt(AT.counts), 48);
  image.writeUInt32BE(1, 56);
  image.writeUInt32BE(COUNT_ORDER, 96);
  image.writeUInt32BE(HEADER_BYTES, 100);
  image.writeBigUInt64BE(BigInt(AT.countBlock), AT.counts);
  for (let cluster = 0; cluster < image.length / CLUSTER_BYTES; cluster++) {
    image.writeUInt16BE(1, AT.countBlock + cluster * COUNT_BYTES);
  }
  return image;
}
