/** A file and its device as the kernel's files name them. Input: what `stat` tells; output: two numbers. Pure; the layout is Linux's. */
export interface FileIdentity {
  dev: number;
  ino: number;
}

export interface DeviceNumber {
  major: number;
  minor: number;
}

export function deviceNumber(dev: number): DeviceNumber {
  return { major: (dev >> 8) & 0xfff, minor: (dev & 0xff) | ((dev >> 12) & 0xfff00) };
}
