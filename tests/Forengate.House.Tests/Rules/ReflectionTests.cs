using System.Reflection.Metadata;
using System.Reflection.PortableExecutable;

namespace Forengate.House.Tests.Rules;

/// <summary>The rooms are ahead-of-time clean: nothing in them asks at run time what a type looks like.</summary>
public sealed class ReflectionTests
{
    /// <summary>A file packed into the program is read through its assembly; that is a look-up by name in a table, not reflection on types.</summary>
    private static readonly HashSet<string> Allowed = ["GetManifestResourceStream"];

    /// <summary>Members of other types that are reflection by another name.</summary>
    private static readonly HashSet<string> Forbidden =
    [
        "System.Activator.CreateInstance", "System.Type.GetType", "System.Type.GetMethod", "System.Type.GetMethods", "System.Type.GetField", "System.Type.GetFields",
        "System.Type.GetProperty", "System.Type.GetProperties", "System.Type.GetMember", "System.Type.GetMembers", "System.Type.GetConstructor", "System.Type.GetConstructors",
        "System.Type.InvokeMember", "System.Type.GetInterfaces", "System.Type.MakeGenericType", "System.Delegate.DynamicInvoke", "System.Enum.GetValues",
    ];

    public static TheoryData<string> AllRooms => [.. House.Rooms];

    [Theory, MemberData(nameof(AllRooms))]
    public void No_room_uses_reflection(string room)
    {
        using var file = File.OpenRead(House.AssemblyOf(room));
        using var image = new PEReader(file);
        var metadata = image.GetMetadataReader();

        // The compiler itself puts attributes of that namespace on assemblies and indexers.
        var types = metadata.TypeReferences.Select(metadata.GetTypeReference)
            .Where(type => metadata.GetString(type.Namespace).StartsWith("System.Reflection", StringComparison.Ordinal))
            .Select(type => metadata.GetString(type.Name))
            .Where(name => name != "Assembly" && !name.EndsWith("Attribute", StringComparison.Ordinal));
        Assert.Empty(types);

        var members = metadata.MemberReferences.Select(metadata.GetMemberReference)
            .Where(member => member.Parent.Kind == HandleKind.TypeReference)
            .Select(member => (Type: metadata.GetTypeReference((TypeReferenceHandle)member.Parent), Name: metadata.GetString(member.Name)))
            .Select(member => (Type: $"{metadata.GetString(member.Type.Namespace)}.{metadata.GetString(member.Type.Name)}", member.Name))
            .Where(member => member.Type == "System.Reflection.Assembly" ? !Allowed.Contains(member.Name) : Forbidden.Contains($"{member.Type}.{member.Name}"));
        Assert.Empty(members);
    }
}
