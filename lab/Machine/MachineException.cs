namespace Forengate.Lab.Machine;

/// <summary>A machine that did not start, stop or answer; the message says what happened and ends with QEMU's own words where there are any.</summary>
public sealed class MachineException(string message, Exception? inner = null) : Exception(message, inner);
