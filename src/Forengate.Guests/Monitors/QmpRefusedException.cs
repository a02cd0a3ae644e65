namespace Forengate.Guests;

/// <summary>QEMU understood a command and refused it (or does not know it).</summary>
internal sealed class QmpRefusedException(string command, string description)
    : IOException($"QEMU refused '{command}': {description}")
{
    public string Description { get; } = description;
}
