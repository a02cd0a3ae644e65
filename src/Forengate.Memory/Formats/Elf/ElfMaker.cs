namespace Forengate.Memory;

/// <summary>Who wrote a core, by its notes: they differ in what they write beside RAM.</summary>
internal enum ElfMaker
{
    Unknown,
    Qemu,
    VirtualBox,
    Forengate,
}
