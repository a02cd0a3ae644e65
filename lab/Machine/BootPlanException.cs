namespace Forengate.Lab.Machine;

/// <summary>A plan that no machine can boot; the message is one line that says what is wrong with it.</summary>
public sealed class BootPlanException(string message) : Exception(message);
