/** The options of `headroom-slice`'s commands. Input: none; output: tables for `parseOptions` and `optionHelp`. */
import { LOG_LEVEL } from '../guest-options.ts';
import { number, type Options, orNull, text, truth } from '../options.ts';

/** A slice larger than this is more than a host lends. */
const SIZE_MIB_MAX = 256 * 1024;

const SHARED = {
  stateDir: {
    kind: text,
    default: '/run/headroom-slice',
    value: 'DIR',
    help: "where programs of slices tell of themselves; the host agent's `sliceDir` is the same",
  },
  logLevel: LOG_LEVEL,
} satisfies Options;
const KEY = {
  key: { kind: orNull(text), default: null, value: 'FILE', help: 'the key both hosts know, 64 hexadecimal digits or more' },
} satisfies Options;
const SIZE = { kind: number(1, SIZE_MIB_MAX), default: 256, value: 'N', help: 'size of the slice' };
const VM = {
  vm: { kind: orNull(text), default: null, value: 'UUID', help: 'the VM' },
  connect: { kind: text, default: 'qemu:///system', value: 'URI', help: 'libvirt connection' },
  storage: { kind: truth, default: false, value: '', help: 'the slice is disk space, for data, and not memory to swap to' },
} satisfies Options;

export const LEND_OPTIONS = {
  sizeMiB: SIZE,
  listen: { kind: text, default: '127.0.0.1:7410', value: 'HOST:PORT', help: 'where the borrower may come' },
  ...KEY,
  storage: {
    kind: orNull(text),
    default: null,
    value: 'DIR',
    help: 'lends disk space below this folder, a file per VM that stays when it is returned, instead of memory',
  },
  reserveMiB: {
    kind: number(0),
    default: 2048,
    value: 'N',
    help: 'memory, or disk space, this host must have available beside what it lends',
  },
  ...SHARED,
} satisfies Options;

export const BORROW_OPTIONS = {
  ...VM,
  sizeMiB: SIZE,
  from: { kind: text, default: '127.0.0.1:7410', value: 'HOST:PORT', help: 'the lender' },
  ...KEY,
  socketGroup: {
    kind: orNull(text),
    default: null,
    value: 'GROUP',
    help: 'group that QEMU runs in, which may use the disk (kvm on Debian); needed where this does not run as root',
  },
  store: { kind: text, default: '/var/lib/headroom-slice', value: 'DIR', help: 'where the local copy is kept, on a disk of this host' },
  deadlineMs: {
    kind: orNull(number(10, 60_000)),
    default: null,
    value: 'N',
    help: 'a lender that has not answered by then is given up, ms (500 for memory, 10000 for storage)',
  },
  ...SHARED,
} satisfies Options;

export const RETURN_OPTIONS = {
  ...VM,
  unused: { kind: truth, default: false, value: '', help: 'the guest has swapped it off: nothing there is needed' },
  ...SHARED,
} satisfies Options;
