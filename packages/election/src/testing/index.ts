/** The seeded simulator of elections, for whoever changes the protocol or builds on it. */
export { type PlantedFault, type SimulationOptions, type SimulationReport, simulate } from './simulation.ts';
