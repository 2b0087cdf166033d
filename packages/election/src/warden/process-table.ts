/** The operating system's processes as the warden needs them; a port so that pid reuse can be tested. */
import {
  groupOf,
  identifyProcess,
  isGroupGone,
  markOf,
  type ProcessId,
  processesWithMark,
  signalGroup,
  signalProcess,
} from '@canopy/core';

export interface ProcessTable {
  identify(pid: number): ProcessId | undefined;
  groupOf(pid: number): number | undefined;
  markOf(pid: number): string | undefined;
  processesWithMark(mark: string): readonly ProcessId[];
  signalGroup(leader: ProcessId, signal: NodeJS.Signals): boolean;
  signalProcess(id: ProcessId, signal: NodeJS.Signals): boolean;
  isGroupGone(leader: ProcessId): boolean;
}

export const systemProcesses: ProcessTable = {
  identify: identifyProcess,
  groupOf,
  markOf,
  processesWithMark,
  signalGroup,
  signalProcess,
  isGroupGone,
};
