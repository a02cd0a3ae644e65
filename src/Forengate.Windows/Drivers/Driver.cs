using Forengate.Memory;
using Forengate.Symbols;

namespace Forengate.Windows;

/// <summary>One kernel module (<c>_KLDR_DATA_TABLE_ENTRY</c>; <c>_LDR_DATA_TABLE_ENTRY</c> before 14393). Whatever memory did not give is null.</summary>
public sealed record Driver
{
    /// <summary><c>BaseDllName</c>: "ntoskrnl.exe".</summary>
    public required string Name { get; init; }

    /// <summary><c>FullDllName</c>: "\SystemRoot\system32\ntoskrnl.exe".</summary>
    public required string Path { get; init; }

    /// <summary>Where the image is loaded.</summary>
    public required VirtualAddress Base { get; init; }

    /// <summary>In bytes.</summary>
    public required uint Size { get; init; }

    public VirtualAddress? EntryPoint { get; init; }

    /// <summary>Address of the list entry.</summary>
    public required VirtualAddress Address { get; init; }

    public required FoundBy FoundBy { get; init; }

    /// <summary>In <c>PsLoadedModuleList</c>.</summary>
    public required bool IsListed { get; init; }

    /// <summary>The CodeView record of the image's header; null where the header's pages are gone or it has none.</summary>
    public CodeViewRecord? CodeView { get; init; }

    /// <summary>The link time in the image's header, or in the list entry; null where neither has one.</summary>
    public uint? TimeDateStamp { get; init; }
}
