/** The seeded simulator of elections, for whoever changes the protocol or builds on it. */

export { PLANTED_FAULTS, type PlantedFault } from './planted.ts';
export { type SimulationOptions, type SimulationReport, simulate } from './simulation.ts';
export { FAULT_KINDS, type FaultCounts, type FaultKind, sumOfCounts } from './tally.ts';
