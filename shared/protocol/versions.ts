/**
 * The versions of the wire that this program speaks side by side, so that agents and aggregators are upgraded in any order. Input: what
 * a hello offers; output: the version of that connection, and frames as its other end knows them. Code is written for the newest
 * version alone: what an older end does not know is put into its words here, on the way out, and nowhere else.
 *
 * Version 2 beside version 1: an event of kind `migrated`, and the aggregators' addresses in the welcome. Whatever comes next that
 * older ends would refuse (a kind of frame, a member of an enumeration, a required field) takes a new version, and drops the oldest.
 */
import { HeadroomError } from '../errors.ts';
import type { Frame } from './frames.ts';

/** The newest first: hellos offer them so. */
export const PROTOCOL_VERSIONS = [2, 1] as const;
export const OLDEST_VERSION = 1;

/** The newest version both know; throws PROTOCOL_VERSION. */
export function chooseVersion(offered: readonly number[]): number {
  const version = PROTOCOL_VERSIONS.find((each) => offered.includes(each));
  if (version !== undefined) return version;
  throw new HeadroomError(
    'PROTOCOL_VERSION',
    `no common protocol version: the peer offers ${offered.join(', ')}, this end speaks ${PROTOCOL_VERSIONS.join(' and ')}; upgrade the older of the two`,
  );
}

/** Throws PROTOCOL_VERSION when a welcome names a version that was not offered. */
export function checkVersion(version: number): void {
  if (!(PROTOCOL_VERSIONS as readonly number[]).includes(version))
    throw new HeadroomError('PROTOCOL_VERSION', `welcomed in version ${version}; this end offered ${PROTOCOL_VERSIONS.join(' and ')}`);
}

/** A frame of the newest version as an end of `version` knows it. */
export function asVersion(frame: Frame, version: number): Frame {
  if (version >= 2) return frame;
  // What an older aggregator makes of it is what it made of a migration before: the VM's job and its end tell.
  if (frame.type === 'event' && frame.kind === 'migrated') return { ...frame, kind: 'lifecycle' };
  if (frame.type === 'welcome' && frame.aggregators !== undefined) {
    const { aggregators: _, ...welcome } = frame;
    return welcome;
  }
  return frame;
}
