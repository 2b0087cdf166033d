/** What a running `canopy up` leaves in its directory so that other verbs find it without being told. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ConnectionSpec } from '@canopy/core';
import { isDirectoryLocked } from './directory-lock.ts';

export const DEFAULT_DIRECTORY = '.canopy';

export interface ClusterFile {
  readonly platform: string;
  readonly connection: ConnectionSpec;
}

export function clusterFile(directory: string): string {
  return join(directory, 'cluster.json');
}

/** Undefined when no cluster runs there; a file that a killed `up` left behind counts as none. */
export function readClusterFile(directory: string): ClusterFile | undefined {
  if (!isDirectoryLocked(directory)) return undefined;
  try {
    return JSON.parse(readFileSync(clusterFile(directory), 'utf8')) as ClusterFile;
  } catch {
    return undefined;
  }
}
